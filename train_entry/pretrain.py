r"""Pretrain SEER on a sealed dataset.

    python -m train_entry.launch --nproc-per-node 8 -m train_entry.pretrain \
        train_entry/configs/seer_10b.yaml data=gs://bucket/dataset output=/runs/seer-10b KEY=VALUE

The same command again continues from the newest checkpoint, on any number of ranks. SIGUSR1 (or
SIGTERM, if it runs without torchrun) saves and ends with code 75: run the same command again.
`--help` lists all keys.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence

from pydantic_core import to_json

from schemas.options import Options
from train_entry.command_line import leave
from train_entry.config import TrainConfig, load_config
from train_entry.errors import TrainError

STOPPED = os.EX_TEMPFAIL
_LOG = logging.getLogger("train_entry")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 finished, 75 stopped and saved, 2 wrong configuration or data."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{__doc__}\n" + "\n".join(_keys(TrainConfig)) + "\n")
        return 0 if arguments else 2
    logging.basicConfig(
        level=logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    try:
        config = load_config(arguments[0], arguments[1:])
        # Only now: torch takes seconds, a mistyped key should not.
        from train_entry.loop import train
        from train_entry.parallel import joined_ranks

        with joined_ranks(config.parallel.device) as ranks:
            finished = train(config, ranks)
    except TrainError as error:
        _LOG.error("%s", error)
        return 2
    return 0 if finished else STOPPED


def _keys(options: type[Options], prefix: str = "") -> Iterator[str]:
    """A line for each key of a configuration."""
    for name, info in options.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Options):
            yield ""
            yield from _keys(kind, f"{prefix}{name}.")
        else:
            # As it may stand in a file or on the command line: YAML reads JSON.
            told = "required" if info.is_required() else f"default {to_json(info.default).decode()}"
            yield f"  {prefix}{name}: {info.description} ({told})"


if __name__ == "__main__":
    leave(main())
