"""Items of a work unit against the evaluation index, in batches while others are still fetched."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from ingest.borderline import BorderlineJudge
from ingest.canary_run import query_of, try_canaries, write_results
from ingest.errors import InspectError
from ingest.evaluation_index.match import Match, describe_match
from ingest.evaluation_index.search import EvaluationIndex
from ingest.fingerprint import View
from ingest.inspect.sandbox import DecoderPool
from ingest.pack.ledger import Item, encode_preview
from ingest.spool import Spool
from schemas.options import BuildOptions
from schemas.outcome import Outcome

# Large enough that a look-up is cheap, small enough that few thumbnails are in memory.
_BATCH = 256


class Matcher:
    """Finds what copies an evaluation image; without an index it finds nothing."""

    def __init__(self, options: BuildOptions, decoders: DecoderPool, executor: Executor) -> None:
        self._options, self._decoders, self._executor = options, decoders, executor
        uri = options.match.eval_index
        self._index = EvaluationIndex.open(uri) if uri else None
        self._judge = BorderlineJudge(self._index, options.match, decoders) if self._index else None

    async def add(self, item: Item, waiting: list[Item]) -> None:
        """Match an inspected item sooner or later: `waiting` holds those of its work unit."""
        waiting.append(item)
        if len(waiting) >= _BATCH:
            batch, waiting[:] = waiting[:], []
            await self._match(batch)

    async def finish(self, items: Sequence[Item], waiting: list[Item]) -> None:
        """Match the rest of a work unit, and look again at what is in doubt."""
        await self._match(waiting)
        for item in items:
            body = item.visit.body if item.visit else None
            if item.match is None or body is None:
                continue
            if item.match.borderline and self._judge is not None:
                set_match(item, await self._judge.decide(item.match, body))
            side_px = self._options.pack.preview_px
            if item.outcome is Outcome.DUPLICATE_NEAR and side_px:
                # A small picture of each near copy, for auditors to look at.
                with contextlib.suppress(InspectError):
                    pixels = await self._decoders.small_picture(body, side_px)
                    item.preview = encode_preview(pixels)

    async def try_canaries(self, batch: int, spool: Spool) -> None:
        """Look for a batch of the index's canaries, as for any item; write what was found."""
        assert self._index is not None
        assert self._judge is not None
        results = await try_canaries(
            self._index, self._options.match, self._decoders, self._judge, spool, batch
        )
        write_results(self._options.output, batch, results)

    async def _match(self, items: Sequence[Item]) -> None:
        if self._index is not None and items:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, self._look_up, items)
        for item in items:
            forget_looks(item)

    def _look_up(self, items: Sequence[Item]) -> None:
        assert self._index is not None
        found = [(item, item.inspection) for item in items if item.inspection is not None]
        queries = [query_of(inspection) for _, inspection in found]
        matches = self._index.match(queries, self._options.match)
        for (item, _), match in zip(found, matches, strict=True):
            set_match(item, match)


def set_match(item: Item, match: Match | None) -> None:
    """Set the match of an item, and its outcome if it is a copy."""
    item.match = match
    if match is not None and match.outcome is not None:
        item.outcome = match.outcome
        item.detail = describe_match(match)


def forget_looks(item: Item) -> None:
    """Drop what only matching needs, 1.3 kB a view, unless the item is or may be a near copy."""
    match, inspection = item.match, item.inspection
    if inspection is None or item.outcome is Outcome.DUPLICATE_NEAR:
        return
    if match is None or not match.borderline:
        views = tuple(View(one.code, one.texture, b"", b"") for one in inspection.views)
        item.inspection = replace(inspection, views=views)
