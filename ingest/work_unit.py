"""The work unit: one plan part -> one committed shard; drives fetch, inspect, match and pack.

One `Engine` serves a process: an event loop with hundreds of connections, decoder processes beside
it, one thread that packs. Up to three shards are under way: the tail of one overlaps the next.
"""

import asyncio
import gc
import selectors
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from ingest import storage
from ingest.errors import FetchError, InspectError
from ingest.fetch.crawler import Crawler
from ingest.fetch.visit import Visit
from ingest.inspect.c2pa import refuses
from ingest.inspect.decode import Inspection
from ingest.inspect.sandbox import DecoderPool
from ingest.matching import Matcher
from ingest.pack.commit import ShardContent, pack_shard, read_commit
from ingest.pack.ledger import Item
from ingest.plan_part import read_plan_part
from ingest.progress import ProgressSender
from ingest.resize.pool import ResizerPool
from ingest.spool import Region, Spool
from ingest.stored import StoredBytes
from schemas.candidate import Carrier
from schemas.manifest import Commit, RetryRecord, canary_path, generation_of, plan_part_path
from schemas.options import BuildOptions, Consent, DerivedOptions
from schemas.outcome import Outcome

_SHARDS_UNDER_WAY = 3
# Candidates that wait for a host's turn or a decoder hold no connection, so there are more of them.
_WINDOW_PER_CONNECTION = 4
_FILE_READERS = 16
_PATIENCE_S = 0.008
_GC_OBJECTS = 50_000


@dataclass(frozen=True)
class Run:
    """What a process must know to take part in a build."""

    options: BuildOptions
    build_sha256: str
    num_processes: int = 1
    progress_address: str = ""
    retries: tuple[RetryRecord, ...] = ()


@dataclass
class _Unit:
    """What the items of one shard share while they are under way."""

    spool: Spool
    stored: StoredBytes
    unmatched: list[Item] = field(default_factory=list)


class Engine:
    """Builds shards in one process; not thread-safe."""

    def __init__(self, run: Run) -> None:
        options = run.options
        self._run, self._options = run, options
        self._progress = ProgressSender(run.progress_address)
        self._loop = asyncio.SelectorEventLoop(CoalescingSelector())
        self._spools = [Spool(i, options.pack.scratch) for i in range(_SHARDS_UNDER_WAY)]
        descriptors = [spool.descriptor for spool in self._spools]
        self._decoders = DecoderPool(options.inspect, descriptors)
        self._resizers = None
        if isinstance(options, DerivedOptions):
            self._resizers = ResizerPool(options.resize, options.inspect, descriptors)
        self._packer = ThreadPoolExecutor(1, thread_name_prefix="pack")
        self._matcher = Matcher(options, self._decoders, self._packer)
        self._readers = ThreadPoolExecutor(_FILE_READERS, thread_name_prefix="read")
        self._units: set[asyncio.Task[Commit]] = set()
        self._loop.run_until_complete(self._start())
        # What was imported so far is never garbage: spare the collector looking at it again. What
        # is made from now on seldom has cycles.
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS, 10, 100)

    async def _start(self) -> None:
        """Make what belongs to the event loop."""
        self._crawler = Crawler(self._options, self._run.num_processes)
        self._window = asyncio.Semaphore(_WINDOW_PER_CONNECTION * self._options.fetch.connections)
        self._free: asyncio.Queue[Spool] = asyncio.Queue()
        for spool in self._spools:
            self._free.put_nowait(spool)

    def submit(self, shard: int) -> list[Commit]:
        """Begin a shard, return when its last candidate has begun: the commits finished by then."""
        commit = read_commit(self._options.output, shard)
        if commit is not None:
            for outcome, count in commit.outcomes.items():
                self._progress.add(outcome, count)
            return [commit]
        return self._loop.run_until_complete(self._submit(shard))

    def try_canaries(self, batch: int) -> list[Commit]:
        """Look for a batch of the index's canaries, as for any candidate; write what was found.

        No commits: canaries are never packed.
        """
        if not storage.exists(storage.join(self._options.output, canary_path(batch))):
            self._loop.run_until_complete(self._try_canaries(batch))
        return []

    def drain(self) -> list[Commit]:
        """Finish all shards that are under way and return their commits."""
        commits = self._loop.run_until_complete(self._drain())
        self._progress.flush()
        return commits

    def close(self) -> None:
        """End all processes, threads and connections; what is not committed is lost."""
        self._loop.run_until_complete(self._abandon())
        self._decoders.close()
        if self._resizers is not None:
            self._resizers.close()
        self._packer.shutdown()
        self._readers.shutdown()
        self._progress.close()
        for spool in self._spools:
            spool.close()
        self._loop.close()

    async def _submit(self, shard: int) -> list[Commit]:
        begun = asyncio.Event()
        unit = asyncio.create_task(self._build(shard, begun))
        unit.add_done_callback(lambda _: begun.set())
        self._units.add(unit)
        await begun.wait()
        return self._collect()

    async def _drain(self) -> list[Commit]:
        if self._units:
            await asyncio.wait(self._units)
        return self._collect()

    async def _abandon(self) -> None:
        for unit in self._units:
            unit.cancel()
        await asyncio.gather(*self._units, return_exceptions=True)
        await self._crawler.close()

    def _collect(self) -> list[Commit]:
        """The commits of the units that are done; raises what a unit raised."""
        done = {unit for unit in self._units if unit.done()}
        self._units -= done
        return [unit.result() for unit in done]

    @asynccontextmanager
    async def _free_spool(self) -> AsyncIterator[Spool]:
        """An empty spool, as soon as there is one."""
        spool = await self._free.get()
        try:
            yield spool
            # Not after a failure: decoders may still read what nobody waits for.
            spool.clear()
        finally:
            self._free.put_nowait(spool)

    async def _build(self, shard: int, begun: asyncio.Event) -> Commit:
        async with self._free_spool() as spool:
            path = plan_part_path(shard)
            candidates, plan_sha256 = read_plan_part(self._options.output, path)
            items = [Item(candidate) for candidate in candidates]
            stored = StoredBytes(
                candidates, spool, self._readers, self._options.fetch, self._options.consent
            )
            unit = _Unit(spool, stored)
            await self._process_all(items, unit, begun)
            await self._matcher.finish(items, unit.unmatched)
            content = ShardContent(
                shard,
                len(candidates),
                plan_sha256,
                self._run.build_sha256,
                items,
                generation_of(shard, self._run.retries),
            )
            return await self._finish(content, spool)

    async def _process_all(self, items: list[Item], unit: _Unit, begun: asyncio.Event) -> None:
        """Process the items, as many at a time as the window holds; `begun`: the last one has."""
        try:
            async with asyncio.TaskGroup() as group:
                for item in items:
                    await self._window.acquire()
                    group.create_task(self._process(item, unit))
                begun.set()
        except BaseExceptionGroup as found:
            # One reason is enough, and the command knows how to tell it.
            raise found.exceptions[0] from found

    async def _try_canaries(self, batch: int) -> None:
        async with self._free_spool() as spool:
            await self._matcher.try_canaries(batch, spool)

    async def _process(self, item: Item, unit: _Unit) -> None:
        """Fetch, inspect and match one candidate; sets its outcome if it cannot be kept."""
        try:
            await self._get(item, unit)
            if item.visit and item.visit.body:
                item.inspection = await self._inspect(item, item.visit, item.visit.body, unit)
        except (FetchError, InspectError) as error:
            item.outcome, item.detail = error.outcome, error.detail
        finally:
            self._window.release()
        num_bytes = item.visit.body.length if item.visit and item.visit.body else 0
        self._progress.add(item.outcome or Outcome.KEPT, num_bytes=num_bytes)
        if item.inspection is not None:
            await self._matcher.add(item, unit.unmatched)

    async def _inspect(self, item: Item, visit: Visit, body: Region, unit: _Unit) -> Inspection:
        """What the image is; of a copy, if smaller ones are to be packed: `body` is then its."""
        inspection = await self._decoders.inspect(body)
        heed_assertion(visit, inspection, self._options.consent.c2pa)
        if self._resizers is None:
            return inspection
        visit.body = unit.spool.append(await self._resizers.resize(body))
        item.original_sha256, item.original_md5 = inspection.sha256, inspection.md5
        return await self._decoders.inspect(visit.body)

    async def _get(self, item: Item, unit: _Unit) -> None:
        candidate = item.candidate
        if candidate.problem is not None:
            item.outcome, item.detail = candidate.problem, candidate.problem_detail
            return
        if candidate.carrier is Carrier.URL:
            item.visit = await self._crawler.visit(candidate.url, unit.spool)
        else:
            item.visit = await unit.stored.read(candidate)
        item.outcome, item.detail = item.visit.outcome, item.visit.detail

    async def _finish(self, content: ShardContent, spool: Spool) -> Commit:
        """Pack in the packing thread, so that the next shard goes on meanwhile."""
        for item in content.items:
            if item.outcome is None:
                item.outcome = Outcome.KEPT
            elif item.inspection is not None:
                self._progress.change(Outcome.KEPT, item.outcome)
        options = self._options
        pack = partial(pack_shard, content, spool, options.output, options.pack)
        return await self._loop.run_in_executor(self._packer, pack)


class CoalescingSelector(selectors.DefaultSelector):
    """Waits a little before it looks, so that one look finds many events.

    Hundreds of connections bring an event every few tens of microseconds, and each look costs more
    than the event; a few milliseconds of patience halve the CPU time of the loop (benchmarks).
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > _PATIENCE_S:
            time.sleep(_PATIENCE_S)
            timeout = None if timeout is None else timeout - _PATIENCE_S
        return super().select(timeout)


def heed_assertion(visit: Visit, inspection: Inspection, consent: Consent) -> None:
    """Put what a file itself asserts on record; raises FetchError if that is to be honoured."""
    if consent == "ignore" or not inspection.training_mining:
        return
    evidence = [f"c2pa: {entry}" for entry in inspection.training_mining]
    visit.signals = (*visit.signals, *evidence)
    if consent == "honour" and refuses(inspection.training_mining):
        visit.rule = "; ".join(evidence)
        raise FetchError(Outcome.OPT_OUT, visit.rule)
