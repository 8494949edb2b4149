"""The country of an IP address, by a MaxMind DB file that the user names."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import maxminddb

from ingest import storage
from ingest.errors import SetupError

_FIELDS = ("country", "registered_country")


class AddressCountries:
    """Countries of addresses, and from which table."""

    def __init__(self, reader: maxminddb.Reader) -> None:
        self._reader = reader

    @property
    def table_name(self) -> str:
        """Type and date of the table."""
        metadata = self._reader.metadata()
        day = datetime.fromtimestamp(metadata.build_epoch, UTC).date()
        return f"{metadata.database_type[:80]}, built {day.isoformat()}"

    def country(self, address: str) -> str | None:
        """The ISO country code of an address; None if the table does not know it.

        Raises SetupError if the table is damaged.
        """
        try:
            found = self._reader.get(address)
        except ValueError:
            # No address, or one of IPv6 in a table of IPv4.
            return None
        except maxminddb.InvalidDatabaseError as error:
            raise SetupError(
                f"--address-countries: expected a record of {address}, got: {error}"
            ) from error
        code = _code(found)
        return code.upper() if code else None


@contextmanager
def open_addresses(uri: str) -> Iterator[AddressCountries | None]:
    """The table at a path or URI, None without one; raises SetupError if it is no such table."""
    if not uri:
        yield None
        return
    try:
        content = io.BytesIO(storage.read_bytes(uri))
        reader = maxminddb.open_database(content, maxminddb.MODE_FD)
    except FileNotFoundError as error:
        raise SetupError(
            f"--address-countries: expected a MaxMind DB file at {uri}, got no such file"
        ) from error
    except (OSError, TypeError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise SetupError(
            f"--address-countries: expected a MaxMind DB file at {uri}, got: {error}"
        ) from error
    with reader:
        yield AddressCountries(reader)


def _code(found: Any) -> str | None:
    """The code in a record: MaxMind and DB-IP nest it, others have `country_code` or `country`."""
    if not isinstance(found, dict):
        return None
    for name in _FIELDS:
        nested = found.get(name)
        if isinstance(nested, dict) and isinstance(nested.get("iso_code"), str):
            return str(nested["iso_code"])
    for name in ("country_code", "country"):
        if isinstance(found.get(name), str):
            return str(found[name])
    return None
