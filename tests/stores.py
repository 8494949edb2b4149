"""Object stores on loopback, each behind a proxy that can fail: for tests of gs:// and s3://.

As a script: serve the emulator that the argument names, print its port, stop when stdin closes.
"""

import http.client
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUCKET = "bucket"


@dataclass(frozen=True)
class RunningStore:
    """A store with one empty bucket, for this process and its children by environment alone."""

    bucket: str
    proxy: object
    environment: dict


@contextmanager
def gcs_store(seed=0):
    """Google Cloud Storage, as gcp-storage-emulator has it."""
    with _served("gs", seed) as proxy:
        yield RunningStore(
            f"gs://{BUCKET}", proxy, {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{proxy.port}"}
        )


@contextmanager
def s3_store(seed=0):
    """Amazon S3, as moto has it."""
    with _served("s3", seed) as proxy:
        _create_bucket(proxy.port)
        yield RunningStore(
            f"s3://{BUCKET}",
            proxy,
            {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            },
        )


@contextmanager
def _served(kind, seed):
    from tests.faulty_proxy import FaultyProxy

    server = subprocess.Popen(
        [sys.executable, str(Path(__file__)), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        with FaultyProxy(int(server.stdout.readline()), seed) as proxy:
            yield proxy
    finally:
        server.communicate(timeout=30)


def _create_bucket(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("PUT", f"/{BUCKET}")
    assert connection.getresponse().status == 200
    connection.close()


def _serve_gcs():
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    return server._api._httpd.server_address[1]


def _serve_s3():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    return server.get_host_and_port()[1]


if __name__ == "__main__":
    print({"gs": _serve_gcs, "s3": _serve_s3}[sys.argv[1]](), flush=True)  # noqa: T201
    sys.stdin.read()
    os._exit(0)
