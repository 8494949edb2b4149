"""Virtual environments of the measured tools, with nothing in them that a tool does not need.

Ours is measured in what `pip install '.[beam]'` gives, not in the developers' environment: pyarrow
imports pandas wherever it is installed, which costs 60 MB and 0.4 CPU seconds a process.
"""

import logging
import shutil
import sys
from pathlib import Path

from tests.benchmarks.sources import run_tool

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]


def install(name: str, *requirement: str) -> Path:
    """The folder of programs of the environment `.venv-NAME`, which is made once.

    Raises RuntimeError if it cannot be installed.
    """
    folder = ROOT / f".venv-{name}"
    done = folder / ".installed"
    if not done.exists():
        logger.info("installing %s into %s", name, folder.name)
        shutil.rmtree(folder, ignore_errors=True)
        run_tool([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        run_tool([*pip, "-c", str(ROOT / "requirements.lock"), *requirement])
        done.touch()
    return folder / "bin"


def install_ours() -> Path:
    """The program `uncurated` of this working tree."""
    return install("uncurated", "-e", f"{ROOT}[beam]") / "uncurated"
