"""ArrowSample: one kept image as a row of an Arrow shard."""

from pydantic import Field

from schemas.arrow import Bytes, Pixels, Record, SampleId, Sha256, Text


class ArrowSample(Record):
    """One row of `shards/*.arrow`; a tar holds the last two columns as a file each."""

    id: SampleId = Field(description="the sample's key, 32 hex digits")
    extension: Text = Field(description="sniffed type as a file extension, such as `jpg`")
    url: Text = Field(description="URL as given; for stored bytes the URI of their file")
    sha256: Sha256 = Field(description="SHA-256 of the bytes received, hex")
    width_px: Pixels = Field(description="width as stored, before EXIF orientation")
    height_px: Pixels = Field(description="height as stored, before EXIF orientation")
    phash: Text = Field(description="perceptual hash, 256 bits as 64 hex digits")
    provenance: Text = Field(
        description="all of it that is stable, byte for byte `KEY.json` of a tar"
    )
    # The last one, so that its bytes are the last of a batch: see ingest.pack.arrow.
    image: Bytes = Field(description="the image, bytes as received")
