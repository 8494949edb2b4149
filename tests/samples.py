"""Made-up samples of a shard, and the ledger rows that would describe them."""

from hashlib import sha256

import orjson
from hypothesis import strategies as st

from ingest.audit.sample_check import SAMPLE_FIELDS
from ingest.pack.sample import Sample
from schemas.image_formats import EXTENSIONS
from schemas.manifest import Commit
from schemas.merkle import merkle_root

DIGEST = "0" * 64


def described(number, image, caption="", image_format="jpeg"):
    """The ledger row of a kept image, but for its place in a shard."""
    values = {
        **dict.fromkeys(SAMPLE_FIELDS),
        "id": f"{number:032x}",
        "source": "urls.csv",
        "row": number % 2**63,
        "url": f"https://example.org/{number}?{caption}",
        "carrier": "url",
        "num_bytes": len(image),
        "sha256": sha256(image).hexdigest(),
        "format": image_format,
        "width_px": 1 + number % 4096,
        "height_px": 1 + number % 2048,
        "phash": sha256(b"phash" + image).hexdigest(),
    }
    return {**values, "columns": orjson.dumps({"caption": caption}).decode()}


def sample_of(row, image):
    """The sample that the ledger row describes."""
    fields = {**row, "columns": orjson.Fragment(row["columns"])}
    return Sample(
        id=row["id"],
        extension=EXTENSIONS[row["format"]],
        url=row["url"],
        sha256=row["sha256"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        phash=row["phash"],
        provenance=orjson.dumps(fields, option=orjson.OPT_SORT_KEYS),
        image=image,
    )


def made_up_sample(number, image, caption="", image_format="jpeg"):
    return sample_of(described(number, image, caption, image_format), image)


samples = st.lists(
    st.builds(
        made_up_sample,
        st.integers(0, 2**128 - 1),
        st.binary(max_size=2000),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
        st.sampled_from(sorted(EXTENSIONS)),
    ),
    max_size=8,
    unique_by=lambda sample: sample.id,
)


def packed(write, file, images, image_format="arrow"):
    """A shard of made-up samples: its commit, and the ledger rows of its samples."""
    rows = [described(n, image, f"caption {n}", "png") for n, image in enumerate(images)]
    written = write([sample_of(row, image) for row, image in zip(rows, images, strict=True)], file)
    for row, image, offset in zip(rows, images, written.offsets, strict=True):
        row.update(offset_bytes=offset, length_bytes=len(image))
    commit = Commit(
        shard=0,
        build_sha256=DIGEST,
        plan_file="",
        plan_sha256=DIGEST,
        shard_file=f"shards/0.{image_format}",
        shard_bytes=written.num_bytes,
        shard_sha256=written.sha256,
        ledger_file="",
        ledger_bytes=0,
        ledger_sha256=DIGEST,
        num_candidates=len(rows),
        num_kept=len(rows),
        image_bytes=sum(map(len, images)),
        outcomes={"kept": len(rows)},
        merkle_root=merkle_root(written.leaves).hex(),
    )
    return commit, rows
