"""img2dataset, the tool to compare with: its environment and its command."""

import logging
import shutil
import sys
from pathlib import Path

from tests.benchmarks.sources import run_tool

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
ENVIRONMENT_FOLDER = ROOT / ".venv-img2dataset"
NUM_PROCESSES = 1
NUM_THREADS = 32
# Importing albumentations asks the package index for its newest version unless this is set.
ENVIRONMENT = {"NO_ALBUMENTATIONS_UPDATE": "1"}


def install_peer() -> Path:
    """The program img2dataset in a virtual environment of its own; made once.

    It has no torch: with torch, webdataset imports it, which would burden every process.
    Raises RuntimeError if it cannot be installed.
    """
    program = ENVIRONMENT_FOLDER / "bin" / "img2dataset"
    if not program.exists():
        logger.info("installing img2dataset into %s", ENVIRONMENT_FOLDER.name)
        shutil.rmtree(ENVIRONMENT_FOLDER, ignore_errors=True)
        run_tool([sys.executable, "-m", "venv", str(ENVIRONMENT_FOLDER)])
        pip = [str(ENVIRONMENT_FOLDER / "bin" / "python"), "-m", "pip"]
        run_tool([*pip, "install", "--quiet", "-c", str(LOCK), "img2dataset"])
    return program


def peer_command(url_table: Path, output: Path, shard_candidates: int) -> list[str]:
    """The command that downloads a URL table; it keeps JPEG bytes and re-encodes all else."""
    return [
        str(install_peer()),
        f"--url_list={url_table}",
        "--input_format=parquet",
        "--url_col=url",
        "--caption_col=caption",
        f"--output_folder={output}",
        "--output_format=webdataset",
        "--resize_mode=no",
        "--skip_reencode=True",
        f"--processes_count={NUM_PROCESSES}",
        f"--thread_count={NUM_THREADS}",
        f"--number_sample_per_shard={shard_candidates}",
    ]


def peer_version() -> str:
    """The version that is installed, read from its metadata folder."""
    folders = ENVIRONMENT_FOLDER.glob("lib/python*/site-packages/img2dataset-*.dist-info")
    return next(folders).stem.partition("-")[2]
