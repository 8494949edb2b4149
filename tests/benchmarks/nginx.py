"""A local nginx that serves a corpus, and the URL table that leads to its images."""

import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.corpus import image_paths
from tests.benchmarks.sources import run_tool

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
CONFIG = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 600s;
  keepalive_requests 1000000;
  types {{ image/jpeg jpg; image/png png; image/webp webp; image/gif gif; }}
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /robots.txt {{ default_type text/plain; return 200 "User-agent: *\\nAllow: /\\n"; }}
    location ~ "^/k[0-9]+/(.+)$" {{ alias {corpus}/$1; }}
  }}
}}
"""


@contextmanager
def serve(corpus: Path) -> Iterator[str]:
    """The root URL of an nginx that serves `corpus` below /k0/, /k1/, ...; one worker, loopback.

    Raises RuntimeError if nginx cannot be installed or does not start.
    """
    program = find_nginx()
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        folder, port = Path(name), _free_port()
        # A master started by root would otherwise serve as a user who may not read the corpus.
        user = "user root;" if os.geteuid() == 0 else ""
        config = CONFIG.format(user=user, folder=folder, port=port, corpus=corpus.resolve())
        (folder / "nginx.conf").write_text(config)
        command = [program, "-p", name, "-e", f"{name}/error.log", "-c", f"{name}/nginx.conf"]
        server = subprocess.Popen(command)
        try:
            _wait_until_it_answers(server, port, folder / "error.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(START_TIMEOUT_S)


def find_nginx() -> str:
    """The path of nginx, installed from its Debian package where it is absent and we are root."""
    # Debian keeps it in a folder that is not on every user's path.
    search_path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    program = shutil.which("nginx", path=search_path)
    if program is None and os.geteuid() == 0:
        logger.info("installing the Debian package nginx-light")
        run_tool(["apt-get", "update"])
        run_tool(["apt-get", "install", "-y", "nginx-light"])
        program = shutil.which("nginx", path=search_path)
    if program is None:
        raise RuntimeError("nginx is missing: run `apt-get install nginx-light` as root")
    return program


def write_url_table(corpus: Path, root_url: str, num_urls: int, path: Path) -> None:
    """Write a parquet file with `num_urls` rows (url, caption): the images as /k0/, then /k1/, ...

    The order of a corpus mixes formats and sizes, so that its head is a fair small table.
    """
    names = [image.name for image in image_paths(corpus)]
    variants = [divmod(row, len(names)) for row in range(num_urls)]
    urls = [f"{root_url}/k{variant}/{names[number]}" for variant, number in variants]
    captions = [f"tile {number}, variant {variant}" for variant, number in variants]
    pq.write_table(pa.table({"url": urls, "caption": captions}), path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    errors = log.read_text() if log.exists() else "it left no log"
    raise RuntimeError(f"nginx does not answer on port {port}: {errors}")
