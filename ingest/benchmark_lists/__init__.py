"""Lists of images and labels, from annotations of a format of their own, for the registry to read.

`prepare` writes them; `formats` says which module reads which archive; `Archive` is what it reads.
"""
