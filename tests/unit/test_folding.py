"""What is folded, and that folded tenants keep their times."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from exporter.config.tenants import TenantOf
from exporter.folding import fold, is_folded, odd
from exporter.sources.tenancy import TenantRow, look_of


def row(tenant: str, ready: int, oldest: float | None) -> TenantRow:
    return TenantRow("mail", tenant, True, 1, ready, 0, 0, 0, 0, oldest)


@pytest.mark.parametrize("times", [(100.0, 4000.0), (4000.0, 100.0), (None, 100.0), (100.0, None)])
def test_two_rows_of_one_label_wait_as_long_as_the_longer(times: tuple[float | None, float | None]) -> None:
    rows = [row("folded:0123456789abcdef", 1, time) for time in times]
    whole = look_of(rows, 5000.0, exact=True)
    sample = look_of(rows, 5000.0, exact=False, oldest=rows)
    for look in (whole, sample):
        assert look.named["folded:0123456789abcdef"].oldest_ready == 100.0
        assert look.named["folded:0123456789abcdef"].jobs["ready"] == 2


def test_a_value_that_looks_folded_is_folded() -> None:
    first = fold("x" * 200)
    assert is_folded(first)
    assert is_folded(fold(first))
    assert fold(first) != first
    assert is_folded(fold("folded:"))
    assert not is_folded("folded:0123456789abcdeF")


def test_every_control_and_every_character_that_turns_or_hides_others_is_folded() -> None:
    # Of the format characters, those that Unicode says are seen: signs before digits and ends of verses.
    seen = {
        "\u06dd",
        "\u070f",
        "\u08e2",
        "\U000110bd",
        "\U000110cd",
        *map(chr, range(0x600, 0x606)),
        "\u0890",
        "\u0891",
    }
    # Of hieroglyphs and shorthand, what joins signs, and is seen by it.
    seen |= set(map(chr, range(0x13430, 0x13440)))
    kinds = {"Cc", "Cf", "Zl", "Zp"}
    found = {chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in kinds}
    assert {character for character in found if not odd(f"a{character}b")} == found & seen
    for ignored in "\u034f\u115f\u1160\u17b4\u180b\u180e\u3164\ufe00\ufe0f\uffa0\ufff0\U000e0041\U000e0100\U000e0fff":
        assert odd(ignored), ascii(ignored)
    assert not any(map(odd, ["acme", "é \U0001f600", "日本語", "x" * 128, "a{", "unfolded:", "\u00a0"]))


def test_a_tenant_in_a_queues_name_is_folded_too() -> None:
    rule = TenantOf(queue_name="^t_(.*)$")
    assert rule.in_name("t_acme") == "acme"
    assert rule.in_name("t_a\u061cb") == fold("a\u061cb")
    assert rule.in_name("mail") is None
