"""One value for each host or origin: loaded once for all who ask, forgotten in time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_MAX_HOSTS = 100_000


class HostCache(Generic[Value]):
    """Values by host, or by origin; `lifetime_s` tells how long one may be kept.

    Beyond `max_hosts` the one that was asked for least recently is forgotten.
    """

    def __init__(
        self,
        lifetime_s: Callable[[Value], float],
        clock: Callable[[], float] = time.monotonic,
        max_hosts: int = _MAX_HOSTS,
    ) -> None:
        self._lifetime_s, self._clock, self._max_hosts = lifetime_s, clock, max_hosts
        self._known: OrderedDict[str, tuple[float, Value]] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Value]] = {}

    def known(self, host: str) -> Value | None:
        """The value of a host, if it is there and fresh."""
        found = self._known.get(host)
        if found is None or found[0] <= self._clock():
            return None
        self._known.move_to_end(host)
        return found[1]

    async def get(self, host: str, load: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a host, by `load` if it is not there; raises what that raises."""
        value = self.known(host)
        if value is not None:
            return value
        loading = self._loading.get(host)
        if loading is not None:
            return await asyncio.shield(loading)
        future = self._loading[host] = asyncio.get_running_loop().create_future()
        try:
            value = await load()
        except BaseException:
            future.cancel()
            raise
        finally:
            del self._loading[host]
        self._keep(host, value)
        future.set_result(value)
        return value

    def _keep(self, host: str, value: Value) -> None:
        self._known.pop(host, None)
        self._known[host] = (self._clock() + self._lifetime_s(value), value)
        if len(self._known) > self._max_hosts:
            self._known.popitem(last=False)
