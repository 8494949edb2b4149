"""What is to be taken out: values and lists as they were given, and which ledger rows they find."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingest import storage
from ingest.errors import SetupError, UrlError
from ingest.evaluation_index.search import MIN_QUERY_TEXTURE
from ingest.fetch.url import canonical_url, host_of
from schemas.audit_options import RemoveOptions

# By kind, what a value looks like; lists of hashes may have more behind a comma or blank.
_HEX = {"sha256": 64, "md5": 32, "id": 32, "phash": 64}
KINDS = ("sha256", "md5", "url", "host", "domain", "id", "phash")
COLUMNS = (
    *("id", "outcome", "url", "final_url", "redirects", "sha256", "original_sha256", "md5"),
    *("phash", "trimmed_phash", "texture"),
)
# A host, a port behind it or not: what else looks like one, such as a URL, would be another host.
_HOST = re.compile(r"([^\s:/\\?#@%*,;]+|\[[0-9a-f:.]+\])(:\d+)?", re.IGNORECASE)
_DISTANCES_AT_ONCE = 1 << 22

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Criteria:
    """Values by kind, those that were given, and the radius of perceptual hashes in bits."""

    values: dict[str, frozenset[str]]
    phash_radius: int

    @classmethod
    def of(cls, options: RemoveOptions) -> "Criteria":
        """The criteria that some options name; raises SetupError that says where and what is wrong.

        A value `@FILE` stands for the lines of a local or remote file; `#` begins a comment line.
        """
        given = {kind: frozenset(_read_values(kind, getattr(options, kind))) for kind in KINDS}
        values = {kind: found for kind, found in given.items() if found}
        if not values:
            flags = ", ".join(f"--{kind}" for kind in KINDS)
            raise SetupError(f"expected at least one value of {flags}, got none")
        return cls(values, options.phash_radius)

    def digest(self, kind: str, salt: str) -> str:
        """Salted SHA-256 of the values of a kind, hex: who has the list can tell whether it is."""
        lines = "".join(f"{value}\n" for value in sorted(self.values[kind]))
        return sha256(bytes.fromhex(salt) + lines.encode()).hexdigest()

    def find(self, ledger: pa.Table) -> dict[str, Flags]:
        """By kind, which rows [N] of a ledger, with at least `COLUMNS`, its values find."""
        found: dict[str, Flags] = {}
        for kind in ("sha256", "md5", "id"):
            if kind in self.values:
                found[kind] = _any_of(ledger, _HASH_COLUMNS[kind], self.values[kind])
        if {"url", "host", "domain"} & self.values.keys():
            found |= self._find_by_url(ledger)
        if "phash" in self.values:
            found["phash"] = self._near(ledger)
        return found

    def _find_by_url(self, ledger: pa.Table) -> dict[str, Flags]:
        tests: dict[str, Callable[[str], bool]] = {
            "url": lambda url: url in urls or _canonical(url) in urls,
            "host": lambda url: _host(url) in hosts,
            "domain": lambda url: any(one in domains for one in _and_parents(_host(url))),
        }
        urls, hosts, domains = (self.values.get(one, frozenset()) for one in tests)
        columns = (ledger[name].to_pylist() for name in ("url", "final_url", "redirects"))
        visited = [
            [url for url in (first, last, *(between or ())) if url]
            for first, last, between in zip(*columns, strict=True)
        ]
        return {
            kind: np.array([any(map(test, row)) for row in visited], np.bool_)
            for kind, test in tests.items()
            if kind in self.values
        }

    @cached_property
    def _wanted_words(self) -> NDArray[np.uint64]:
        return _as_words(sorted(self.values["phash"]))

    def _near(self, ledger: pa.Table) -> Flags:
        """Rows with a hash within the radius; the hash of a flat image would match strangers."""
        near = np.zeros(ledger.num_rows, np.bool_)
        for name in ("phash", "trimmed_phash"):
            known = np.flatnonzero(pc.is_valid(ledger[name]).to_numpy(zero_copy_only=False))
            hashes = _as_words(ledger[name].take(pa.array(known)).to_pylist())
            near[known] |= within(hashes, self._wanted_words, self.phash_radius)
        flat = pc.fill_null(ledger["texture"], 0).to_numpy() < MIN_QUERY_TEXTURE
        near[flat] = False
        return near


_HASH_COLUMNS = {"sha256": ("sha256", "original_sha256"), "md5": ("md5",), "id": ("id",)}


def within(
    hashes_N4: NDArray[np.uint64], wanted_P4: NDArray[np.uint64], radius: int
) -> NDArray[np.bool_]:
    """Which of N hashes of 256 bits differ from any of P by at most `radius` bits: bool [N]."""
    near = np.zeros(len(hashes_N4), np.bool_)
    step = max(1, _DISTANCES_AT_ONCE // max(1, len(hashes_N4)))
    for start in range(0, len(wanted_P4), step):
        some = wanted_P4[start : start + step]
        distances = np.zeros((len(hashes_N4), len(some)), np.uint16)
        for word in range(4):
            distances += np.bitwise_count(hashes_N4[:, word, None] ^ some[None, :, word])
        near |= (distances <= radius).any(axis=1)
    return near


def _as_words(hashes: Iterable[str]) -> NDArray[np.uint64]:
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").reshape(-1, 4).astype(np.uint64)


def _any_of(ledger: pa.Table, columns: Iterable[str], values: frozenset[str]) -> Flags:
    # A set that is there already: Arrow would hash a list of millions anew for each shard.
    found = np.zeros(ledger.num_rows, np.bool_)
    for name in columns:
        found |= np.array([one in values for one in ledger[name].to_pylist()], np.bool_)
    return found


def _read_values(kind: str, given: Iterable[str]) -> Iterator[str]:
    for one in given:
        if not one.startswith("@"):
            yield _value(kind, one, f"--{kind}")
            continue
        try:
            text = storage.read_bytes(one[1:]).decode("utf-8-sig")
        except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
            raise SetupError(f"--{kind}: expected a list in {one[1:]}, got {error}") from error
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield _value(kind, line, f"{one[1:]}, line {number}")


def _value(kind: str, text: str, where: str) -> str:
    text = text.strip()
    if kind == "url":
        return _canonical(text)
    if kind in ("host", "domain"):
        place = text.removeprefix(".")
        host = _host(f"http://{place}/") if _HOST.fullmatch(place) else ""
        if not host:
            raise SetupError(f"{where}: expected a {kind} such as example.org, got {text!r}")
        return host
    value = re.split(r"[\s,;]", text, maxsplit=1)[0].lower()
    if not re.fullmatch(f"[0-9a-f]{{{_HEX[kind]}}}", value):
        raise SetupError(f"{where}: expected {_HEX[kind]} hex digits, got {text[:100]!r}")
    return value


def _canonical(url: str) -> str:
    """A URL as it goes over the wire, so that two ways to write it are one; else as it is."""
    try:
        return canonical_url(url)
    except UrlError:
        return url


def _host(url: str) -> str:
    """The host of a URL in its canonical form; empty if it has none."""
    try:
        return host_of(canonical_url(url))
    except UrlError:
        return (urlsplit(url).hostname or "") if url.isascii() and "://" in url else ""


def _and_parents(host: str) -> Iterator[str]:
    """A host, and all domains that it is in."""
    while host:
        yield host
        host = host.partition(".")[2]
