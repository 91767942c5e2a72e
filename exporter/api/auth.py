"""Basic authentication: bcrypt in a thread of its own, one at a time and in turns; what was verified is remembered."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from typing import Final

import bcrypt

from ..config.secrets import Secret
from ..config.web import cost
from .turns import Turns

#: Credentials that are remembered. Only right ones come in, so there are hardly more than users.
_REMEMBERED: Final = 100

#: Tries that wait for their turn; of more, some are told to come again. Far fewer than connections, far more than one
#: client has: who waits cannot ask again, and comes sooner or later, where who is sent away may find no place ever.
_WAITING: Final = 128

#: What bcrypt takes of a password. Go and htpasswd leave out the rest too.
_TAKEN: Final = 72

#: A salt and a hash that belong to no password.
_NOBODYS: Final = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"


class Users:
    """Whose credentials are right. For use in one event loop."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}
        self._turns = Turns(_WAITING)

    async def admits(self, users: Mapping[str, Secret], authorization: str, address: str = "") -> bool:
        """Whether this header names a user and the right password. Raises BusyError.

        Takes as long for names that do not exist as for those that do: only the client's address decides on its turn.
        """
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        name, password = credentials
        known = name in users
        digest = users[name].reveal() if known else self._nobodys(users, name)
        # The hash is part of it: where it is another one, nothing is remembered.
        remembered = self._keyed(name.encode(), digest.encode(), password)
        if remembered in self._remembered:
            return True
        async with self._turns.turn(address):
            # Others with the same credentials may have waited before.
            right = remembered in self._remembered or (await _matches(password, digest) and known)
        if right:
            if len(self._remembered) >= _REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[remembered] = None
        return right

    def _keyed(self, *parts: bytes) -> bytes:
        made = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            made.update(len(part).to_bytes(8, "big") + part)
        return made.digest()

    def _nobodys(self, users: Mapping[str, Secret], name: str) -> str:
        """A hash that costs what some user's costs, always the same one's."""
        costs = [cost(digest.reveal()) or 10 for digest in users.values()]
        chosen = costs[int.from_bytes(self._keyed(name.encode())[:8], "big") % len(costs)]
        return f"$2b${chosen:02d}${_NOBODYS}"


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


async def _matches(password: bytes, digest: str) -> bool:
    """Whether a password belongs to a hash; compared in constant time, in a thread that does not hold up the end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def settle(right: bool | Exception) -> None:  # noqa: FBT001  # an outcome
        if answer.done():
            return
        if isinstance(right, Exception):
            answer.set_exception(right)
        else:
            answer.set_result(right)

    def compare() -> None:
        right: bool | Exception
        try:
            # bcrypt lets other threads run while it works.
            right = bcrypt.checkpw(password.replace(b"\x00", b"")[:_TAKEN], digest.encode())
            right = right and b"\x00" not in password
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            right = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, right)

    threading.Thread(target=compare, name="bcrypt", daemon=True).start()
    return await answer
