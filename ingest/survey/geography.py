"""Countries of the images of a random sample, by three kinds of evidence.

After Goyal et al. 2022 (SEER), arXiv:2202.08360, who watched the countries of their random images
by a sample. Nothing is filtered by it. Each kind of evidence sees only some of the images, and not
the same ones: shares are of the located images, with Wilson's 95 % intervals.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import pycountry

from ingest.survey.addresses import AddressCountries
from ingest.survey.places import MAX_KM, countries_of, table_name
from schemas.certificate import wilson_interval
from schemas.survey import CountryShare, Located

# Country codes whose domains are sold to everybody for what they look like, or for nothing.
GENERIC = (
    *("ac", "ag", "ai", "am", "as", "bz", "cc", "cd", "cf", "co", "cx", "dj", "fm", "ga", "gg"),
    *("gl", "gq", "gs", "hm", "im", "io", "je", "la", "ly", "me", "ml", "ms", "mu", "nf", "nu"),
    *("pw", "sc", "sh", "st", "tc", "tk", "to", "tv", "vc", "vg", "vu", "ws"),
)
# Domains that are not named by the code of ISO 3166-1.
_OTHER_CODES = {"uk": "GB", "su": None, "eu": None}


def locate_positions(
    positions: Sequence[tuple[float, float] | None],
) -> Located:
    """Countries by EXIF position, degrees of latitude and longitude; None: the image has none."""
    known = [one for one in positions if one is not None]
    found = countries_of(np.array(known, np.float64).reshape(-1, 2))
    note = (
        "The country of the populated place nearest to the position in the image's EXIF, within "
        f"{MAX_KM:.0f} km ({table_name()}); near a border that may be the neighbour. Places that "
        "have no code in ISO 3166-1, such as Kosovo, are left out. Few images carry a position: "
        "most sites strip it, and not all cameras and phones write one."
    )
    return _located("gps", len(positions), found, note)


def locate_domains(labels: Sequence[str | None]) -> Located:
    """Countries by the top-level domain of the host that was asked; None: it has none."""
    note = (
        "The country whose code is the top-level domain of the URL's host: where a publisher is at "
        "home, not where the picture was taken. Generic domains such as .com say nothing, and "
        "these codes are left out because they are sold to everybody: "
        + ", ".join(f".{one}" for one in GENERIC)
        + ". Internationalised country codes are not read."
    )
    return _located("domain", len(labels), [domain_country(one) for one in labels], note)


def locate_addresses(addresses: Sequence[str | None], table: AddressCountries) -> Located:
    """Countries by the IP address that was connected to; None: the image was not fetched."""
    found = [None if one is None else table.country(one) for one in addresses]
    note = (
        f"The country of the address that was connected to ({table.table_name}): where the image "
        "is hosted. A content delivery network answers from near the crawler, so this leans "
        "towards the crawler's own country."
    )
    return _located("address", len(addresses), found, note)


def domain_country(label: str | None) -> str | None:
    """The ISO code of a top-level domain in lower case; None if it tells no country."""
    if label is None or len(label) != 2 or label in GENERIC:
        return None
    return _OTHER_CODES.get(label, label.upper())


def _located(evidence: str, num_asked: int, found: Iterable[str | None], note: str) -> Located:
    # Tables have codes that are in use but not in the standard, such as XK for Kosovo.
    counts = Counter(one for one in found if one is not None and one in _iso_codes())
    total = counts.total()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Located(
        evidence=evidence,
        num_asked=num_asked,
        num_located=total,
        countries=tuple(_share(country, count, total) for country, count in ordered),
        note=note,
    )


def _share(country: str, count: int, total: int) -> CountryShare:
    low, high = wilson_interval(count, total)
    return CountryShare(country=country, num_images=count, low=round(low, 6), high=round(high, 6))


@cache
def _iso_codes() -> frozenset[str]:
    return frozenset(one.alpha_2 for one in pycountry.countries)
