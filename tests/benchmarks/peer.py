"""img2dataset, the tool to compare with: its environment and its command."""

from pathlib import Path

from tests.benchmarks.environments import ROOT, install

NUM_PROCESSES = 1
NUM_THREADS = 32
# Importing albumentations asks the package index for its newest version unless this is set.
ENVIRONMENT = {"NO_ALBUMENTATIONS_UPDATE": "1"}


def install_peer() -> Path:
    """The program img2dataset in an environment of its own.

    It has no torch: with torch, webdataset imports it, which would burden every process.
    """
    return install("img2dataset", "img2dataset") / "img2dataset"


def peer_command(
    url_table: Path, output: Path, shard_candidates: int, resized: bool = False
) -> list[str]:
    """The command that downloads a URL table.

    It keeps JPEG bytes and re-encodes all else; `resized`: its default, all pictures to 256 px.
    """
    pixels = ["--image_size=256"] if resized else ["--resize_mode=no", "--skip_reencode=True"]
    return [
        str(install_peer()),
        f"--url_list={url_table}",
        "--input_format=parquet",
        "--url_col=url",
        "--caption_col=caption",
        f"--output_folder={output}",
        "--output_format=webdataset",
        *pixels,
        f"--processes_count={NUM_PROCESSES}",
        f"--thread_count={NUM_THREADS}",
        f"--number_sample_per_shard={shard_candidates}",
    ]


def peer_version() -> str:
    """The version that is installed, read from its metadata folder."""
    folders = ROOT.glob(".venv-img2dataset/lib/python*/site-packages/img2dataset-*.dist-info")
    return next(folders).stem.partition("-")[2]
