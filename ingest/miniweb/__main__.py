"""Serve the standard miniature web until interrupted: `python -m ingest.miniweb --port 8080`."""

import argparse
import sys
import threading
from pathlib import Path

from ingest.miniweb.server import MiniWeb
from ingest.miniweb.world import build_world


def main() -> int:
    """0 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ingest.miniweb", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1 (default: 8080)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the pictures (default: 1)")
    parser.add_argument(
        "--urls", type=Path, default=Path("urls.parquet"), help="URL table to write"
    )
    arguments = parser.parse_args()
    world = build_world(arguments.seed)
    with MiniWeb(world.site, arguments.port) as web:
        world.write_urls(arguments.urls, web)
        sys.stdout.write(
            f"{len(world.links)} URLs on 127.0.0.1:{web.port}, listed in {arguments.urls}\n"
        )
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
