"""CLEVR: scenes/CLEVR_SPLIT_scenes.json tells the objects of each image.

Both tasks read these images, each in its column of the same list.
"""

from ingest.benchmark_lists.archive import Archive, Rows, broken


def read(archive: Archive) -> Rows:
    """Of each image, `count` of its objects, and `distance`: the least third of pixel_coords."""
    name = f"scenes/CLEVR_{archive.split}_scenes.json"
    uri, found = archive.read_json(f"CLEVR_v1.0/{name}", name)
    try:
        return {
            scene["image_filename"]: {
                "count": str(len(scene["objects"])),
                "distance": repr(min(float(one["pixel_coords"][2]) for one in scene["objects"])),
            }
            for scene in found["scenes"]
        }
    except (KeyError, IndexError, TypeError, ValueError) as error:
        expected = "`scenes` with image_filename and objects with three pixel_coords"
        raise broken(uri, expected, error) from error
