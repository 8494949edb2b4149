import asyncio

import pytest

from ingest.fetch.host_cache import HostCache


def run(coroutine):
    return asyncio.run(coroutine)


def test_all_who_ask_at_once_share_one_loading():
    loads = 0

    async def load():
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return "value"

    async def ask():
        cache = HostCache(lambda value: 60.0)
        return await asyncio.gather(*(cache.get("a.example", load) for _ in range(20)))

    assert run(ask()) == ["value"] * 20
    assert loads == 1


def test_values_are_forgotten_in_their_time_and_the_oldest_when_there_are_too_many():
    now = 0.0
    cache = HostCache(float, clock=lambda: now, max_hosts=2)

    async def load(value):
        return value

    run(cache.get("a", lambda: load("10")))
    run(cache.get("b", lambda: load("20")))
    assert (cache.known("a"), cache.known("b")) == ("10", "20")
    now = 15.0
    assert (cache.known("a"), cache.known("b")) == (None, "20")
    run(cache.get("c", lambda: load("30")))
    assert (cache.known("b"), cache.known("c")) == ("20", "30")
    run(cache.get("d", lambda: load("30")))
    assert cache.known("b") is None


def test_a_failed_loading_is_tried_again():
    async def fail():
        raise ValueError("no")

    async def ask():
        cache = HostCache(lambda value: 60.0)
        with pytest.raises(ValueError, match="no"):
            await cache.get("a", fail)
        return await cache.get("a", lambda: asyncio.sleep(0, "value"))

    assert run(ask()) == "value"
