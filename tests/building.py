"""Shared by tests: small sites, URL tables, and builds by the command that a user would type."""

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from ingest.miniweb.pictures import web_pictures
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Site, image_page
from pipelines.command import main
from schemas.manifest import Commit, DatasetRecord, decode

ALLOW = ("--allow-network=127.0.0.0/8", "--allow-network=::1/128")
HOST = "photos.localhost"


@cache
def pictures(count):
    return tuple(web_pictures(3, count))


def picture_site(count):
    """A site of `count` good pictures at /0, /1, ..."""
    site = Site()
    for number, picture in enumerate(pictures(count)):
        site.add(HOST, f"/{number}", image_page(picture.content, picture.media_type))
    return site


def write_urls(path, urls):
    """A csv table of URLs with a caption for each."""
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "caption"])
        writer.writerows([url, f"caption of {number}"] for number, url in enumerate(urls))
    return str(path)


def command(*arguments):
    return [sys.executable, "-m", "pipelines.command", *map(str, arguments)]


def uncurated(*arguments, timeout_s=250, environment=None):
    """The finished `uncurated` command with these arguments."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def run(*arguments, code=0):
    """What a command prints that ends with this code; if it is 2, on standard error.

    In this process, since each start of another takes seconds.
    """
    printed, told = io.TextIOWrapper(io.BytesIO(), newline=""), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(told):
        found = main([str(one) for one in arguments])
    printed.flush()
    text = printed.buffer.getvalue().decode()
    assert found == code, text + told.getvalue()
    return told.getvalue() if code == 2 else text


def build(dataset, *arguments, **options):
    """The record of a dataset that `uncurated build` has finished."""
    finished = uncurated("build", f"--output={dataset}", *ALLOW, *arguments, **options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return record_of(dataset)


def build_pictures(dataset, count, *arguments):
    """The record of a dataset of so many pictures, crawled from this machine."""
    with MiniWeb(picture_site(count)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(count)]
        table = write_urls(Path(dataset).with_name("urls.csv"), urls)
        return build(dataset, f"--input={table}", *arguments)


def record_of(dataset):
    return decode(DatasetRecord, (Path(dataset) / "dataset.json").read_bytes())


def commits_of(dataset):
    return Commit.from_table(pq.read_table(Path(dataset) / "manifest.parquet"))


def ledger_of(dataset):
    """All ledger rows of a sealed dataset, in shard and plan order."""
    return [
        row
        for commit in commits_of(dataset)
        for row in pq.read_table(Path(dataset) / commit.ledger_file).to_pylist()
    ]


def shards_of(dataset):
    """Name and bytes of each shard."""
    return {
        commit.shard_file: (Path(dataset) / commit.shard_file).read_bytes()
        for commit in commits_of(dataset)
    }


def columns_of(row):
    return json.loads(row["columns"])
