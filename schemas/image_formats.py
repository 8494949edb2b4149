"""The image formats that are decoded, and how files of them are named."""

# The word goes into the ledger, the extension into the shard.
EXTENSIONS = {
    "jpeg": "jpg",
    "png": "png",
    "webp": "webp",
    "gif": "gif",
    "avif": "avif",
    "tiff": "tiff",
    "bmp": "bmp",
    "ico": "ico",
    "jp2": "jp2",
}
# What names of image files end in.
SUFFIXES = frozenset({f".{extension}" for extension in EXTENSIONS.values()} | {".jpeg", ".tif"})


def is_image_name(path: str) -> bool:
    """Whether a file is called an image; hidden ones are mostly macOS's side files."""
    # Asked of millions of names, for which PurePosixPath would take most of the time.
    name = path.rpartition("/")[2]
    _, dot, extension = name.rpartition(".")
    return dot + extension.lower() in SUFFIXES and not name.startswith(".")
