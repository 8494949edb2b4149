"""Revisited Oxford and Paris: gnd_*.pkl has the names of database and queries, and their relations.

`gnd` has of each query the places in the database of its images that are easy, hard or junk, and
`bbx`, the box it is cut to. Source: Radenovic et al. 2018, arXiv:1803.11285.
"""

from typing import Any

from ingest.benchmark_lists.archive import Archive, Rows, broken
from ingest.benchmark_lists.plain_pickle import load_plain

_KINDS = ("easy", "hard", "junk")


def read(archive: Archive) -> Rows:
    """Of each image its `role` and `box`, and of queries names that are `easy`, `hard`, `junk`."""
    name = {"roxford": "gnd_roxford5k.pkl", "rparis": "gnd_rparis6k.pkl"}[archive.benchmark.id]
    uri, content = archive.read(name, f"jpg/{name}")
    try:
        found = load_plain(content)
        gallery = [str(image) for image in found["imlist"]]
        rows = {image: _row("gallery", box="") for image in gallery}
        for image, of in zip(found["qimlist"], found["gnd"], strict=True):
            left, top, right, bottom = (float(side) for side in of["bbx"])
            listed = {kind: _names(gallery, of[kind]) for kind in _KINDS}
            rows[str(image)] = _row("queries", box=f"{left} {top} {right} {bottom}", **listed)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        expected = "imlist, qimlist, and in gnd bbx, easy, hard and junk of each query, all plain"
        raise broken(uri, expected, error) from error
    return rows


def _row(role: str, *, box: str, **listed: str) -> dict[str, str]:
    return {"role": role, **{kind: listed.get(kind, "") for kind in _KINDS}, "box": box}


def _names(gallery: list[str], places: Any) -> str:
    if any(place < 0 for place in places):
        raise ValueError(f"expected places in imlist, from 0, got {min(places)}")
    return " ".join(gallery[place] for place in places)
