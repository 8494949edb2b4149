"""Show all that is known of an image; give its bytes and the proof that it is in the dataset."""

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from ingest import storage
from ingest.errors import SetupError
from ingest.questions.printable import printable
from ingest.questions.proof import encode_proof, make_proof
from ingest.questions.sealed import Sealed, read_sealed
from ingest.questions.show import Image, Shown, check_kept, find_images, read_picture
from schemas.audit_options import ShowOptions


def show(options: ShowOptions) -> int:
    """Print what is known and write what was asked for; 1 if there is no such image."""
    sealed = read_sealed(options.dataset)
    shown = find_images(sealed, options.image)
    if options.format == "json":
        for image in shown.images:
            _print(orjson.dumps(image.as_dict()).decode())
    else:
        for line in _lines(sealed, options.image, shown):
            _print(line)
    sys.stdout.flush()
    if shown.images:
        _write_files(sealed, options, shown)
    return 0 if shown.images else 1


def _write_files(sealed: Sealed, options: ShowOptions, shown: Shown) -> None:
    """Write the picture and the proof where they are asked for."""
    if not (options.picture or options.proof):
        return
    if shown.num_found > 1:
        raise SetupError(f"expected one image to give, got {shown.num_found:,}: name it by its id")
    image = shown.images[0]
    check_kept(image)
    if options.proof:
        proof = make_proof(sealed, image.id, image.last["shard"])
        storage.write_bytes(options.proof, encode_proof(proof))
        _note(
            f"proof: {options.proof}; check it by: python -m ingest.questions.check_proof "
            f"{options.proof} {options.picture or 'IMAGE'} {sealed.seal.merkle_root}"
        )
    if options.picture:
        storage.write_bytes(options.picture, read_picture(sealed, image))
        _note(f"picture: {options.picture}, {image.last['length_bytes']:,} bytes as packed")


def _lines(sealed: Sealed, key: str, shown: Shown) -> Iterator[str]:
    if not shown.images:
        yield f"no image of {sealed.dataset} has the {shown.kind} {key}"
        return
    if shown.num_found > 1:
        yield f"{shown.num_found:,} images have the {shown.kind} {key}"
        if shown.num_found > len(shown.images):
            yield f"the first {len(shown.images):,} follow; `uncurated query` tells of all"
    for image in shown.images:
        yield from _image_lines(sealed, image)
    yield f"dataset: version {sealed.seal.version}, Merkle root {sealed.seal.merkle_root}"


def _image_lines(sealed: Sealed, image: Image) -> Iterator[str]:
    """One image: the verdict first, then all its rows."""
    last = image.last
    yield f"image {image.id}: {last['outcome']}"
    if image.shard_file is not None:
        place = f"{last['length_bytes']:,} bytes from {last['offset_bytes']:,}"
        yield f"  lies in {image.shard_file}, {place}"
    for one in image.tombstones:
        yield f"  has a tombstone, {one['file']}: {one['outcome']} {one['detail']}".rstrip()
    for path, record in image.removals.items():
        yield f"  removed at the request of {record['authority']}, {path}: {record['reason']}"
    for taken in image.taken_out:
        yield (
            f"  taken out of shard {taken.shard} by repack {taken.repack}: {taken.outcome}; it was "
            f"in version {taken.version}"
        )
    for problem in image.problems:
        yield f"  {problem}"
    for row in image.planned:
        yield "  plan"
        yield from _value_lines(row)
    for row in image.rows:
        yield f"  ledger, generation {row['generation']}, shard {row['shard']}: {row['outcome']}"
        yield from _value_lines(row)


def _value_lines(row: dict[str, Any]) -> Iterator[str]:
    """The columns that tell something, one a line."""
    told = {name: value for name, value in row.items() if value not in (None, [], "")}
    longest = max(map(len, told), default=0)
    for name, value in told.items():
        for at, text in enumerate(_texts(value)):
            yield f"    {'' if at else name:<{longest}}  {text}"


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [" ".join(_texts(one)) for one in value]
    if isinstance(value, dict):
        return [" ".join(_texts(one)[0] for one in value.values())]
    if isinstance(value, bytes):
        return [f"{len(value):,} bytes"]
    if isinstance(value, datetime):
        return [value.isoformat(sep=" ")]
    return [str(value)]


def _print(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")


def _note(line: str) -> None:
    """Not on standard output, where JSON may go."""
    sys.stderr.write(printable(line) + "\n")
