"""The errors of `ingest`.

    IngestError                      this candidate cannot be used; `outcome` is the ledger's word
    ├── FetchError                   the bytes could not be had
    │   └── UrlError                 no request can be made of this URL
    └── InspectError                 the bytes are no usable image
    SetupError                       the run cannot go on: options, index or dataset do not fit
    └── StorageError                 a disk or an object store refuses, or fails for too long

A leaf that stands for one outcome would be a class for each word of `schemas.outcome`; instead the
outcome is an argument, so that the vocabulary is written once.
"""

from schemas.outcome import Outcome


class IngestError(Exception):
    """This candidate cannot be used; `outcome` is the stable word that the ledger records."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail


class FetchError(IngestError):
    """The bytes could not be had."""


class UrlError(FetchError):
    """No request can be made of this URL."""


class InspectError(IngestError):
    """The bytes are no usable image."""


class SetupError(Exception):
    """The run cannot go on; the message names what was expected and what was found."""


class StorageError(SetupError):
    """A disk or an object store refuses, or fails for too long; the message names the URI."""
