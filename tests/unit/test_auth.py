"""Basic authentication: when bcrypt is asked, and at what cost."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import bcrypt
import pytest

from exporter.api.auth import BusyError, Users
from exporter.config.secrets import Secret
from exporter.config.web import cost
from tests.listening import hashed

USERS = {"anna": Secret(hashed("right")), "bob": Secret(hashed("right"))}


def basic(name: str, password: str | bytes, scheme: str = "Basic") -> str:
    whole = name.encode() + b":" + (password if isinstance(password, bytes) else password.encode())
    return f"{scheme} {base64.b64encode(whole).decode()}"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that bcrypt was asked about."""
    seen: list[str] = []
    real: Callable[[bytes, bytes], bool] = bcrypt.checkpw

    def checkpw(password: bytes, digest: bytes) -> bool:
        seen.append(digest.decode())
        return real(password, digest)

    monkeypatch.setattr("exporter.api.auth.bcrypt.checkpw", checkpw)
    return seen


def admitted(users: dict[str, Secret], *headers: str) -> list[bool]:
    async def ask() -> list[bool]:
        asked = Users()
        return [await asked.admits(users, header) for header in headers]

    return asyncio.run(ask())


def test_what_was_verified_is_remembered_and_what_was_wrong_is_not(compared: list[str]) -> None:
    right, wrong = basic("anna", "right"), basic("anna", "wrong")
    assert admitted(USERS, right, right, wrong, wrong, right) == [True, True, False, False, True]
    assert len(compared) == 3


def test_nothing_is_remembered_of_a_hash_that_changed(compared: list[str]) -> None:
    async def ask() -> list[bool]:
        asked, header = Users(), basic("anna", "right")
        users = {"anna": Secret(hashed("right"))}
        return [
            await asked.admits(users, header),
            await asked.admits({"anna": Secret(hashed("new"))}, header),
            await asked.admits({"bob": users["anna"]}, header),
            await asked.admits(users, header),
        ]

    assert asyncio.run(ask()) == [True, False, False, True]
    assert len(compared) == 3


def test_a_name_that_does_not_exist_costs_what_one_that_does_costs(compared: list[str]) -> None:
    users = {"anna": Secret(hashed("right", 5)), "bob": Secret(hashed("right", 5))}
    assert admitted(users, basic("nobody", "right"), basic("", ""), basic("anna", "wrong")) == [False] * 3
    assert [cost(digest) for digest in compared] == [5, 5, 5]
    mixed = {"anna": Secret(hashed("right", 4)), "bob": Secret(hashed("right", 6))}
    compared.clear()
    names = [f"nobody{number}" for number in range(20)]
    assert not any(admitted(mixed, *[basic(name, "x") for name in names for _ in range(2)]))
    costs = [cost(digest) for digest in compared]
    assert set(costs) == {4, 6}
    assert costs[::2] == costs[1::2]  # the same name, the same cost


def test_the_password_of_the_dummy_hash_admits_nobody() -> None:
    # The hash that exporter-toolkit compares with is of this password.
    assert admitted(USERS, basic("nobody", "fakepassword")) == [False]


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ", "Basic !!!", "Bearer abc", basic("anna", "right").replace("=", "") + "*", "Basic YW5uYQ=="],
)
def test_what_is_no_such_header_never_reaches_bcrypt(compared: list[str], header: str) -> None:
    assert admitted(USERS, header) == [False]
    assert compared == []


def test_passwords_are_taken_as_go_takes_them() -> None:
    long = "x" * 100
    users = {"anna": Secret(hashed(long[:72])), "zoë": Secret(hashed("a:ü"))}
    assert admitted(users, basic("anna", long), basic("zoë", "a:ü"), basic("zoë", "a:ü", "bAsIc")) == [True] * 3
    assert admitted(users, basic("zoë", "a:ü\0"), basic("zoë", b"\xff\xfe"), basic("zoë", "")) == [False] * 3


def test_hashes_of_htpasswd_are_taken() -> None:
    digest = hashed("right").replace("$2b$", "$2y$")
    assert admitted({"anna": Secret(digest)}, basic("anna", "right")) == [True]


def test_many_at_once_with_the_same_credentials_ask_once(compared: list[str]) -> None:
    async def ask() -> list[bool]:
        asked = Users()
        return await asyncio.gather(*[asked.admits(USERS, basic("anna", "right")) for _ in range(10)])

    assert all(asyncio.run(ask()))
    assert len(compared) == 1


def test_more_than_can_wait_are_told_to_come_again() -> None:
    async def ask() -> list[bool | BaseException]:
        asked = Users()
        tries = [asked.admits(USERS, basic("anna", str(number))) for number in range(20)]
        return await asyncio.gather(*tries, return_exceptions=True)

    found = asyncio.run(ask())
    assert found.count(False) == 16
    assert sum(isinstance(one, BusyError) for one in found) == 4
