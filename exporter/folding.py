"""Which values could not stand in a label as they are, and the short form that they have instead. Pure.

Postgres holds tenants to the same where they are taken out of jobs: ``sources/tenancy.py`` makes SQL of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

#: What a folded value begins with; the rest is a piece of its SHA-256: not of the value, which may be payload.
FOLDED: Final = "folded:"

#: Hexadecimal digits of the SHA-256.
DIGITS: Final = 16

#: Characters of a longer value are no name.
LONGEST: Final = 128

#: What begins a value that is folded: JSON is a piece of a payload, no name, and nobody takes another's label.
BEGINNINGS: Final = ("{", "[", FOLDED)

#: Characters that a label must not bring onto someone's screen, by code point, first and last. Controls, separators of
#: lines, interlinear marks (they hide what they annotate), and Unicode 16's Default_Ignorable_Code_Point, which has all
#: that turns others (bidirectional controls) or is not seen itself.
UNSHOWN: Final = (
    *((0x01, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160)),
    *((0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164)),
    *((0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3)),
    *((0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)

#: The same inside the brackets of a regular expression, as Python and Postgres both read it.
CHARACTERS: Final = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in UNSHOWN)

# Postgres has no U+0000; a name from elsewhere may.
_UNSHOWN: Final = re.compile(f"[\\x00{CHARACTERS}]")
_LABEL: Final = re.compile(f"{FOLDED}[0-9a-f]{{{DIGITS}}}")


def odd(value: str) -> bool:
    """Whether a value is folded."""
    return len(value) > LONGEST or value.startswith(BEGINNINGS) or _UNSHOWN.search(value) is not None


def fold(value: str) -> str:
    """A value, shortened where it could not stand in a label."""
    return FOLDED + hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()[:DIGITS] if odd(value) else value


def is_folded(name: str) -> bool:
    """Whether a name is what ``fold`` makes of odd ones."""
    return _LABEL.fullmatch(name) is not None
