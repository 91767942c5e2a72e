"""Basic authentication: when bcrypt is asked, and at what cost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable

import bcrypt
import pytest

from exporter.api.auth import Users
from exporter.api.turns import BusyError, Turns, whose
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


def asking(number: int, addresses: int = 1) -> list[bool | BaseException]:
    """What becomes of so many wrong tries at once."""

    async def ask() -> list[bool | BaseException]:
        asked = Users()
        tries = [asked.admits(USERS, basic("anna", str(n)), f"10.0.0.{n % addresses}") for n in range(number)]
        return await asyncio.gather(*tries, return_exceptions=True)

    return asyncio.run(ask())


def test_more_than_can_wait_are_told_to_come_again() -> None:
    found = asking(140)  # one is asked about, and 128 wait
    assert found.count(False) == 129
    assert sum(isinstance(one, BusyError) for one in found) == 11
    assert all(isinstance(one, BusyError) for one in found[129:]), "those who waited lost their places"


@pytest.mark.parametrize("guesses", [40, 200])
def test_a_flood_of_guesses_from_elsewhere_is_in_nobodys_way(compared: list[str], guesses: int) -> None:
    async def ask() -> int:
        asked, flooding = Users(), True
        whom = [f"nobody{number}" for number in range(guesses)]

        async def guess(name: str) -> None:
            while flooding:
                with contextlib.suppress(BusyError):
                    await asked.admits(USERS, basic(name, "x"), "10.0.0.9")
                await asyncio.sleep(0)

        flood = [asyncio.create_task(guess(name)) for name in whom]
        assert not await asked.admits(USERS, basic("bob", "wrong"), "10.0.0.2")  # the flood has begun
        before = len(compared)
        assert await asked.admits(USERS, basic("anna", "right"), "10.0.0.1")
        needed = len(compared) - before
        flooding = False
        await asyncio.gather(*flood)
        return needed

    # The guess under way, one more whose turn may be next, its own, and one that began when it was told.
    assert asyncio.run(ask()) <= 4


def test_a_flood_of_guesses_from_the_same_address_lets_the_known_in_too(compared: list[str]) -> None:
    async def ask() -> int:
        asked, flooding = Users(), True

        async def guess(name: str) -> None:
            while flooding:
                await asked.admits(USERS, basic(name, "x"), "10.0.0.1")

        flood = [asyncio.create_task(guess(f"nobody{number}")) for number in range(40)]
        assert not await asked.admits(USERS, basic("bob", "wrong"), "10.0.0.2")  # the flood has begun
        before = len(compared)
        assert await asked.admits(USERS, basic("anna", "right"), "10.0.0.1")
        needed = len(compared) - before
        flooding = False
        await asyncio.gather(*flood)
        return needed

    assert asyncio.run(ask()) <= 42


def test_a_flood_from_more_addresses_than_can_wait_leaves_everybody_a_chance() -> None:
    found = asking(200, addresses=200)
    assert sum(isinstance(one, BusyError) for one in found) == 71
    assert not all(isinstance(one, BusyError) for one in found[129:]), "only who came first was heard"


def test_a_turn_of_one_who_went_away_is_the_nexts() -> None:
    async def ask() -> list[bool | BaseException]:
        asked = Users()
        tries = [asyncio.create_task(asked.admits(USERS, basic("anna", str(number)))) for number in range(6)]
        await asyncio.sleep(0)
        for number in (0, 1, 3):
            tries[number].cancel()
        found = await asyncio.gather(*tries, return_exceptions=True)
        assert await asked.admits(USERS, basic("anna", "right"))
        return found

    found = asyncio.run(ask())
    assert [found[number] for number in (2, 4, 5)] == [False] * 3


def test_one_who_goes_away_when_called_passes_the_turn_on() -> None:
    async def ask() -> None:
        turns = Turns(10)

        async def have(seconds: float) -> None:
            async with turns.turn("10.0.0.1"):
                await asyncio.sleep(seconds)

        first, second, third = (asyncio.create_task(have(0.01)) for _ in range(3))
        await first
        second.cancel()  # called, and not yet awake
        await asyncio.wait_for(third, 5)
        with pytest.raises(asyncio.CancelledError):
            await second

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_the_addresses_of_one_network_of_ipv6_are_one(address: str, one: str) -> None:
    assert whose(address) == one
