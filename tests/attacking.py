"""Shared by tests: the hostile kit, served, and a build that is pointed at it."""

import csv
import json
import os
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import psutil

from ingest.miniweb.attacks import build_kit
from ingest.miniweb.certificates import make_authority, tls_context
from ingest.miniweb.server import Manner, MiniWeb
from tests.building import command, ledger_of

# 127.0.0.2 and ::1 are among the targets.
ALLOW = "--allow-network=127.0.0.1/32"
LIMITS = (
    *("--timeout-s=12", "--connect-timeout-s=6", "--low-speed-s=3", "--low-speed-bytes-per-s=100"),
    *("--max-image-bytes=2000000", "--decode-timeout-s=4", "--host-wait-s=3"),
    *("--decoder-processes=2", "--decoder-memory-mib=300"),
)
NUM_DEAD_URLS = 60


@dataclass(frozen=True)
class Fallout:
    """What a build made of attacks: (outcome, detail) of their URLs, memory, time, requests."""

    results: dict[str, list[tuple[str, str]]]
    peak_mb: float
    took_s: float
    web: MiniWeb

    def wrong(self):
        """The attacks that ended in other words than their own."""
        return {
            attack.name: self.results[attack.name][:3]
            for attack in kit().attacks
            if {outcome for outcome, _ in self.results.get(attack.name, ())} - {*attack.outcomes}
        }


@cache
def kit():
    return build_kit(NUM_DEAD_URLS)


@cache
def authority():
    return make_authority(datetime.now(UTC))


@contextmanager
def served_kit():
    """The kit on a web, with certificates and names."""
    context = tls_context(authority(), kit().flaws, datetime.now(UTC))
    manner = Manner(drip_s=0.2, tls=context, names=kit().names)
    with MiniWeb(kit().site, manner=manner) as web:
        yield web


def suffer(tmp_path, names, *options, timeout_s=120):
    """The fallout of a build over the attacks of these names."""
    with served_kit() as web:
        table = _write_table(tmp_path / "urls.csv", web, names)
        trusted = tmp_path / "ca.pem"
        trusted.write_bytes(authority().pem)
        extra = [option.format(port=web.nameserver.port, ca_file=trusted) for option in options]
        dataset = tmp_path / "dataset"
        arguments = [f"--output={dataset}", f"--input={table}", ALLOW, *LIMITS, *extra]
        began = time.monotonic()
        process = subprocess.Popen(
            command("build", *arguments),
            env={**os.environ, "SSL_CERT_FILE": str(trusted)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peak = peak_tree_mb(process, timeout_s)
        took = time.monotonic() - began
        assert process.returncode == 0, f"expected exit code 0, got {process.returncode}"
    results = defaultdict(list)
    for row in ledger_of(dataset):
        name = json.loads(row["columns"])["attack"]
        results[name].append((row["outcome"], row["detail"]))
    assert set(results) == set(names)
    return Fallout(dict(results), peak, took, web)


def peak_tree_mb(process, timeout_s=250):
    """The largest sum of resident memory of a process and all below it, until it ends.

    AssertionError if it has not ended by then; it is killed.
    """
    peak, root, deadline = 0, psutil.Process(process.pid), time.monotonic() + timeout_s
    while process.poll() is None:
        total = 0
        for one in [root, *root.children(recursive=True)]:
            try:
                total += one.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, total)
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError(f"expected an end within {timeout_s} s, the process still ran")
        threading.Event().wait(0.05)
    return peak / 1e6


def _write_table(path, web, names):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "attack"])
        for attack in kit().attacks:
            if attack.name in names:
                writer.writerows([url, attack.name] for url in attack.urls(web))
    return path
