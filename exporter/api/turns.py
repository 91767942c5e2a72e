"""One at a time, and those who wait in turns by address: whoever asks much waits behind himself."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
from collections import deque
from collections.abc import AsyncIterator


class BusyError(Exception):
    """Too many wait."""


class Turns:
    """Places in a queue. For use in one event loop."""

    def __init__(self, most: int) -> None:
        """``most`` may wait; beyond that one gives way of those addresses that have the most waiting."""
        self._most = most
        self._taken = False
        #: By address, whose turn is next first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._number = 0

    @contextlib.asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Wait for a turn and have it. Raises BusyError, also to one who has waited for a while."""
        if self._taken:
            await self._wait(whose(address))
        self._taken = True
        try:
            yield
        finally:
            self._next()

    async def _wait(self, who: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(place)
        self._number += 1
        if self._number > self._most:
            self._thin()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._next()  # it was called, and will not come
            raise

    def _next(self) -> None:
        self._taken = False
        while self._waiting:
            who = next(iter(self._waiting))
            places = self._waiting.pop(who)
            place = places.popleft()
            self._number -= 1
            if places:
                self._waiting[who] = places
            if not place.done():  # not gone meanwhile
                self._taken = True
                place.set_result(None)
                return

    def _thin(self) -> None:
        """Send the newest away of an address that has the most; of several such addresses, chance decides."""
        most = max(map(len, self._waiting.values()))
        who = secrets.choice([who for who, places in self._waiting.items() if len(places) == most])
        places = self._waiting[who]
        gone = places.pop()
        self._number -= 1
        if not places:
            del self._waiting[who]
        if not gone.done():
            gone.set_exception(BusyError())


def whose(address: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, for anyone has all that follow."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found), 64), strict=False))
