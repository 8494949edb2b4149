"""Beam pipelines and the `uncurated` command; the work itself is in `ingest`."""
