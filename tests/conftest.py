from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from ingest.inspect.decode import configure_pillow
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Site
from tests.stores import gcs_store, s3_store

# Other work on the machine must not fail a test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


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


@pytest.fixture(scope="session")
def _start_store():
    """A function that starts the store of a kind, "gs" or "s3", once for all tests."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context({"gs": gcs_store, "s3": s3_store}[kind]()))


@pytest.fixture
def object_store(_start_store, monkeypatch):
    """A function that gives the store of a kind; this process and its children can reach it."""

    def find(kind):
        store = _start_store(kind)
        store.proxy.calm()
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        return store

    return find
