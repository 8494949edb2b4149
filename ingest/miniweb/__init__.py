"""A small, partly hostile web on loopback, for the demo, the tests and other people's crawlers.

`site` says what a URL does, `wire` puts that into bytes, `server` serves it, with a `nameserver`
and `certificates` beside it. `world` is the standard web of `uncurated demo`, with bodies from
`pictures` and `traps`; `attacks` is the hostile kit, with bodies from `compression`, `image_bombs`
and `polyglots`. `python -m ingest.miniweb` serves both until interrupted.
"""
