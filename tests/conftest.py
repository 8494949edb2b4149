from pathlib import Path

import pytest

from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Site
from ingest.miniweb.world import build_world


@pytest.fixture(scope="session")
def world():
    """The standard miniature web."""
    return build_world(seed=1)


@pytest.fixture
def serve():
    """A function that serves a site until the test ends."""
    running = []

    def start(site: Site, **options) -> MiniWeb:
        web = MiniWeb(site, **options).__enter__()
        running.append(web)
        return web

    yield start
    for web in running:
        web.__exit__(None, None, None)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return str(tmp_path / "dataset")
