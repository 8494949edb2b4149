from pathlib import Path

import pytest

from ingest.inspect.decode import configure_pillow
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Site


@pytest.fixture(scope="session", autouse=True)
def _our_limits_decide():
    """As in a decoder process: Pillow's own limits are off."""
    configure_pillow()


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
