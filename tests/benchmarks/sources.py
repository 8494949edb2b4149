"""Large free pictures from Debian packages: downloaded once, unpacked, never installed."""

import logging
import subprocess
from pathlib import Path

from PIL import Image

logger = logging.getLogger(__name__)

PACKAGES = (
    "gnome-backgrounds",
    "mate-backgrounds",
    "ukui-wallpapers",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "plasma-workspace-wallpapers",
)
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
MIN_SIDE_PX = 1000
MAX_PIXELS = 30_000_000


def fetch_sources(folder: Path) -> list[Path]:
    """The pictures of all packages below `folder`, sorted; what is already there is not fetched.

    Raises RuntimeError where a package cannot be had.
    """
    packages = [fetch_package(package, folder) for package in PACKAGES]
    paths = (path for package in packages for path in package.rglob("*"))
    return sorted(path for path in paths if _is_large_picture(path))


def run_tool(command: list[str], folder: Path | None = None) -> None:
    """Run a system command quietly; RuntimeError with its error output if it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeError(f"{command[0]} is missing: this benchmark needs Debian") from error
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")


def fetch_package(package: str, folder: Path) -> Path:
    """The folder of an unpacked package below `folder`; what is already there is not fetched."""
    if (folder / package).is_dir():
        return folder / package
    folder.mkdir(parents=True, exist_ok=True)
    logger.info("downloading the Debian package %s", package)
    try:
        run_tool(["apt-get", "download", package], folder)
    except RuntimeError:
        run_tool(["apt-get", "update"])
        run_tool(["apt-get", "download", package], folder)
    archive = next(folder.glob(f"{package}_*.deb"))
    unpacked = folder / f"{package}.partial"
    run_tool(["dpkg", "-x", str(archive), str(unpacked)])
    archive.unlink()
    return unpacked.rename(folder / package)


def _is_large_picture(path: Path) -> bool:
    """Whether tiles can be cut from it: links repeat a picture, small ones are previews."""
    if path.suffix.lower() not in SUFFIXES or path.is_symlink() or not path.is_file():
        return False
    with Image.open(path) as image:
        return min(image.size) >= MIN_SIDE_PX and image.width * image.height <= MAX_PIXELS
