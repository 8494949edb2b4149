"""Limits of single hosts, from a TOML file: who may be asked more often than others, or less.

["cdn.example"]
requests_per_s = 50
connections = 64

["*.example.org"]               # all hosts below it, and itself; the longest name wins
requests_per_s = 0.2
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest import storage
from ingest.errors import SetupError
from schemas.options import PolitenessOptions


class _Limit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    requests_per_s: float | None = Field(default=None, ge=0)
    connections: int | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class HostLimit:
    """requests_per_s: of the whole run, 0: unlimited. connections: of one process."""

    requests_per_s: float
    connections: int


class HostLimits:
    """The limits of any host."""

    def __init__(self, options: PolitenessOptions) -> None:
        self.usual = HostLimit(options.host_requests_per_s, options.host_connections)
        read = _read(options.host_limits) if options.host_limits else {}
        self._named = {name.lower(): self._fill(limit) for name, limit in read.items()}

    def find(self, host: str) -> HostLimit:
        """The limits of a host: its own, those of the closest `*.` domain, or the usual ones."""
        named = self._named
        if not named:
            return self.usual
        if host in named:
            return named[host]
        domain = host
        while domain:
            if "*." + domain in named:
                return named["*." + domain]
            domain = domain.partition(".")[2]
        return self.usual

    def _fill(self, limit: _Limit) -> HostLimit:
        rate, connections = limit.requests_per_s, limit.connections
        return HostLimit(
            self.usual.requests_per_s if rate is None else rate,
            self.usual.connections if connections is None else connections,
        )


def _read(uri: str) -> Mapping[str, _Limit]:
    try:
        tables = tomllib.loads(storage.read_bytes(uri).decode())
        return {host: _Limit.model_validate(table) for host, table in tables.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SetupError(
            "--host-limits: expected a TOML file with tables named after hosts, each with "
            f"requests_per_s or connections, got {uri}: {error}"
        ) from error
