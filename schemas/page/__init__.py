"""Pages: one file without scripts that needs no server and asks for nothing."""
