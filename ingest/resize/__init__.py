"""Smaller copies of images: img2dataset's Resizer in killable processes, which `pool` keeps."""
