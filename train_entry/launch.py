"""torchrun whose exit code tells what to do next: the options are torchrun's.

    python -m train_entry.launch --nproc-per-node 8 -m train_entry.pretrain CONFIG data=DATASET

0: finished; 75 (EX_TEMPFAIL of sysexits.h): stopped from outside, run the same command again;
anything else: failed. Plain torchrun ends with 1 whatever its processes end with, and leaves them
30 s to save. SIGTERM, with which Kubernetes and Slurm stop a program, reaches them as SIGUSR1, as
torchrun itself sends SIGTERM to those that outlive a crash, which must not save.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

TRY_AGAIN = os.EX_TEMPFAIL
# An option of these names on the command line wins, as the later of two.
DEFAULTS = ("--signals-to-handle=SIGINT,SIGUSR1", "--shutdown-timeout=600")

_LOG = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run torchrun; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(f"{__doc__}\n")
    for signum in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(signum, _stop)
    try:
        told = parse_args([*DEFAULTS, *arguments])
        run(told)
    except SignalException as error:
        return TRY_AGAIN if error.sigval == signal.SIGUSR1 else 128 + error.sigval
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        # Of a machine whose ranks heard of it from another one's.
        if TRY_AGAIN in codes and codes <= {TRY_AGAIN, -signal.SIGTERM, 0}:
            return TRY_AGAIN
        _LOG.error("%s", error)
        return 1
    return 0


def _stop(signum: int, frame: FrameType | None) -> None:
    raise SignalException(f"got signal {signum}", sigval=signal.SIGUSR1)


if __name__ == "__main__":
    sys.exit(main())
