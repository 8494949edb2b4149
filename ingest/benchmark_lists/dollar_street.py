"""Dollar Street: the table of all photographs, whose things stand in a cell as a Python list."""

import ast

from ingest.benchmark_lists.archive import Archive, Rows, broken

_SEPARATOR = "|"
_PLACES = ("dataset_dollarstreet/images_v2.csv", "images_v2.csv")


def read(archive: Archive) -> Rows:
    """Of each image, the things it shows as `label`, its `household`, `income` and `region`."""
    uri, table = archive.read_table(*_PLACES)
    try:
        return {
            one["imageRelPath"]: {
                "label": _SEPARATOR.join(_texts(one["topics"])),
                "household": one["place"],
                "income": one["income"],
                "region": one["region.id"],
            }
            for one in table
        }
    except (KeyError, ValueError, SyntaxError) as error:
        expected = "columns imageRelPath, topics (a list of texts), place, income, region.id"
        raise broken(uri, expected, error) from error


def _texts(cell: str) -> list[str]:
    found = ast.literal_eval(cell)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"no list of texts: {cell}")
    return found
