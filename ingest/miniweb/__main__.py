"""Serve the miniature web and all attacks until interrupted, for any crawler to be pointed at.

python -m ingest.miniweb --only attacks --urls urls.parquet
python -m ingest.miniweb --list
"""

import argparse
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.miniweb.attacks import DEAD_HOST_URLS, build_kit
from ingest.miniweb.attacks.kit import Kit
from ingest.miniweb.certificates import make_authority, tls_context
from ingest.miniweb.ports import ADDRESS
from ingest.miniweb.server import Manner, MiniWeb
from ingest.miniweb.world import World, build_world

_COLUMNS = ("url", "caption", "licence", "attack", "expectation", "limit")
_HOW_TO = """\
{num_urls} URLs on {address}:{port}, listed in {urls} with what each should end as.

Point a crawler at them:
  hosts          *.localhost is {address}, without any name server
                 *.attack.test needs the name server {address}:{nameserver_port}, UDP and TCP
  certificates   trust {ca_file}, which signs the good one
  networks       allow {address}/32 and nothing else: 127.0.0.2 and ::1 are among the targets

  uncurated build --input {urls} --output DATASET --allow-network {address}/32 \\
      --nameserver {address}:{nameserver_port} --ca-file {ca_file}

Interrupt to stop."""


def main(argv: list[str] | None = None) -> int:
    """0 when interrupted."""
    arguments = _arguments(argv)
    if arguments.list:
        sys.stdout.write(build_kit(arguments.dead_host_urls).markdown() + "\n")
        return 0
    world = World() if arguments.only == "attacks" else build_world(arguments.seed)
    kit = Kit() if arguments.only == "world" else build_kit(arguments.dead_host_urls)
    kit.site.pages.update(world.site.pages)
    now = datetime.now(UTC)
    authority = make_authority(now)
    arguments.ca_file.write_bytes(authority.pem)
    manner = Manner(
        drip_s=arguments.drip_s,
        tls=tls_context(authority, kit.flaws, now),
        names=kit.names,
        nameserver_port=arguments.nameserver_port,
    )
    with MiniWeb(kit.site, arguments.port, manner=manner) as web:
        num_urls = _write_urls(arguments.urls, world, kit, web)
        sys.stdout.write(_how_to(arguments, web, num_urls) + "\n")
        sys.stdout.flush()
        _wait_for_interrupt()
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ingest.miniweb",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag, kind, default, description in (
        ("--port", int, 8080, f"port of HTTP on {ADDRESS}; 0: any"),
        ("--nameserver-port", int, 8053, f"port of the name server on {ADDRESS}; 0: any"),
        ("--seed", int, 1, "seed of the pictures"),
        ("--drip-s", float, 1.0, "seconds between the bytes of slow answers"),
        ("--dead-host-urls", int, DEAD_HOST_URLS, "URLs of each dead host"),
        ("--urls", Path, Path("urls.parquet"), "URL table to write"),
        ("--ca-file", Path, Path("miniweb-ca.pem"), "certificate authority to write"),
    ):
        text = f"{description} (default: {default})"
        parser.add_argument(flag, type=kind, default=default, help=text)
    parser.add_argument("--only", choices=("world", "attacks"), help="leave the others out")
    parser.add_argument("--list", action="store_true", help="print the table of attacks, and end")
    return parser.parse_args(argv)


def _write_urls(path: Path, world: World, kit: Kit, web: MiniWeb) -> int:
    """Write the URL table; the number of its rows."""
    rows = [*world.rows(web), *kit.rows(web)]
    columns = {name: [row.get(name, "") for row in rows] for name in _COLUMNS}
    pq.write_table(pa.table(columns), path)
    return len(rows)


def _how_to(arguments: argparse.Namespace, web: MiniWeb, num_urls: int) -> str:
    return _HOW_TO.format(
        num_urls=num_urls,
        address=ADDRESS,
        port=web.port,
        nameserver_port=web.nameserver.port,
        urls=arguments.urls,
        ca_file=arguments.ca_file,
    )


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
