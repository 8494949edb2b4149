"""The `uncurated` command: finds the sub-command, reads its options, tells errors as sentences."""

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from rich.console import Console
from rich.logging import RichHandler

from ingest.errors import SetupError
from ingest.questions.printable import printable
from pipelines.command_table import COMMANDS, Command
from pipelines.options import add_flags, check_rest

# What Beam says of parts that are not used here.
_BEAM_NOISE = ("apitools not found", "No semi_persistent_directory found")
_INTERRUPTED = 130
# A plain OSError is the machine's: no room, no more open files, a disk that cannot be read.
_WORKER_ERROR = re.compile(
    r"^(?:ingest\.errors\.(?:Setup|Storage)Error|OSError): (.+)$", re.MULTILINE
)
# What Beam adds to the message of an error.
_BEAM_NOTE = re.compile(r" \[while running '[^']*'\]$")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 an audit found something, 2 a wrong command, 130 interrupted."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    command = COMMANDS[arguments.command]
    _configure_logging()
    on_beam = command.takes_beam and bool(rest or not command.beam_on_demand)
    try:
        return _run(command, arguments, check_rest(rest, command.models, on_beam))
    except SetupError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        # Who reads has seen enough, as `head` does; what is left unsent must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _interrupted()
    except OSError as error:
        # One of a class of its own, such as FileNotFoundError, was to be told where it arose.
        if type(error) is not OSError:
            raise
        return _refuse(str(error))
    except RuntimeError as error:
        # Beam wraps what a worker raised into one long text.
        if str(error).startswith(KeyboardInterrupt.__name__):
            _interrupted()
        found = _WORKER_ERROR.search(str(error))
        if found is None:
            raise
        return _refuse(found.group(1))


def _run(command: Command, arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    if not beam_arguments:
        return command.run(arguments, beam_arguments)
    # Beam takes a second to import, and many commands do not need it.
    from pipelines.preflight import check_run
    from pipelines.run import Submitted

    check_run(command.models, arguments, beam_arguments)
    try:
        return command.run(arguments, beam_arguments)
    except Submitted as note:
        Console(soft_wrap=True).print(str(note), markup=False, highlight=False)
        return 0


def _interrupted() -> NoReturn:
    _refuse("interrupted; the same command again continues where this one stopped")
    # Beam's threads would go on until their shards are done, and nothing here waits for them.
    os._exit(_INTERRUPTED)


def _refuse(message: str) -> int:
    # A message may quote what strangers wrote.
    message = printable(_BEAM_NOTE.sub("", message), keep="\n\t")
    Console(stderr=True, soft_wrap=True).print(f"uncurated: {message}", markup=False, style="red")
    return 2


def _configure_logging() -> None:
    handler = RichHandler(console=Console(stderr=True), show_path=False)
    handler.addFilter(_is_news)
    # force: importing Beam without its cloud extra has configured the root logger already.
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    for chatty in ("apache_beam", "aiobotocore", "botocore", "gcsfs"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log record tells what nothing else does: Beam raises the errors that it logs."""
    if record.name.startswith("apache_beam") and record.levelno >= logging.ERROR:
        return False
    return not any(noise in record.getMessage() for noise in _BEAM_NOISE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uncurated",
        description="From the raw web to sealed, verifiable training shards.",
        epilog="`uncurated COMMAND --help` shows a command's flags and examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=version("uncurated"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        beam = "\nAll options of Beam are accepted too, such as --direct_num_workers=2."
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary + "." + (beam if command.takes_beam else ""),
            epilog="examples:\n  " + "\n  ".join(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for model in command.models:
            add_flags(sub, model)
    return parser


if __name__ == "__main__":
    sys.exit(main())
