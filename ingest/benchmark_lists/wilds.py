"""Camelyon17 and FMoW of WILDS: a table of all images, of which rules make the parts.

Source: Koh et al. 2021, arXiv:2012.07421, appendix E; the rules are those of its official split.
"""

from ingest.benchmark_lists.archive import Archive, Rows, broken

# By hospital, and within the other hospitals as the table says.
_PART_OF_CENTER = {"1": "val", "2": "test"}
_PART_OF_NUMBER = {"0": "train", "1": "id_val"}
# The years from which on images are out of the distribution that is trained on.
_VAL_YEAR, _TEST_YEAR = 2013, 2016
_HELD_BACK, _NO_REGION = "seq", "Other"


def read_camelyon17(archive: Archive) -> Rows:
    """Of each patch, 1 or 0 for a tumor as `label`, and its part as `split`."""
    uri, table = archive.read_table("camelyon17_v1.0/metadata.csv", "metadata.csv")
    rows = {}
    try:
        for one in table:
            slide = f"patient_{one['patient']}_node_{one['node']}"
            name = f"{slide}/patch_{slide}_x_{one['x_coord']}_y_{one['y_coord']}"
            part = _PART_OF_CENTER.get(one["center"]) or _PART_OF_NUMBER[one["split"]]
            rows[name] = {"label": one["tumor"], "split": part}
    except KeyError as error:
        expected = "patient, node, x_coord, y_coord, tumor, center, and split 0 or 1"
        raise broken(uri, expected, error) from error
    return rows


def read_fmow(archive: Archive) -> Rows:
    """Of each image, its category as `label`, its part as `split` (some have none), its `region`.

    The image of a row is named by the row's number; some are held back, and have no row here.
    """
    uri, table = archive.read_table("fmow_v1.1/rgb_metadata.csv", "rgb_metadata.csv")
    places = ("fmow_v1.1/country_code_mapping.csv", "country_code_mapping.csv")
    countries_uri, countries = archive.read_table(*places)
    try:
        region_of = {one["alpha-3"]: one["region"] for one in countries}
    except KeyError as error:
        raise broken(countries_uri, "columns alpha-3 and region", error) from error
    try:
        return {
            f"rgb_img_{number}": {
                "label": one["category"],
                "split": _fmow_part(one["split"], int(one["timestamp"][:4])),
                "region": region_of.get(one["country_code"]) or _NO_REGION,
            }
            for number, one in enumerate(table)
            if one["split"] != _HELD_BACK
        }
    except (KeyError, ValueError) as error:
        expected = "columns split, timestamp that begins with the year, category, country_code"
        raise broken(uri, expected, error) from error


def _fmow_part(split: str, year: int) -> str:
    """The part of an image; none if its time is not the part's."""
    first_of_others = {"train": 9999, "val": _VAL_YEAR, "test": _TEST_YEAR}[split]
    if year < _VAL_YEAR:
        return split if split == "train" else f"id_{split}"
    in_time = year >= first_of_others and (split == "test" or year < _TEST_YEAR)
    return split if in_time else ""
