"""Every opt-out signal and every rule that decided, as a table for spreadsheets."""

from ingest.papers.facts import Facts
from ingest.papers.spreadsheet import write_csv

_HEADER = ("kind", "text", "mode", "num_candidates", "num_kept", "num_refused")


def opt_outs_csv(facts: Facts) -> bytes:
    """A row for each `signal`, then one for each `rule`, with the candidates that had it.

    Of the candidates that a rule decided on, none is kept; rules decide where the mode is `honour`.
    """
    consent = facts.survey.consent
    signals = [
        ("signal", one.signal, one.mode, one.num_candidates, one.num_kept, one.num_refused)
        for one in consent.signals
    ]
    rules = [("rule", rule, "honour", count, 0, count) for rule, count in consent.rules.top.items()]
    return write_csv(_HEADER, [*signals, *rules])
