"""A small, partly hostile web on loopback, for the demo, the tests and other people's crawlers.

`pictures` and `traps` make bodies, `site` says what a URL does, `server` serves it, `world` is the
standard web of `uncurated demo`. `python -m ingest.miniweb` serves it until interrupted.
"""
