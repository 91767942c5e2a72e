"""The vacuum horizon as a function: when others' transactions began, without the texts of their queries."""

from __future__ import annotations

from .functions import Function
from .statements import statement
from .vacuum import Holder


def functions() -> list[Function]:
    """The one."""
    return [
        Function(
            "vacuum",
            "What keeps VACUUM from removing dead rows, and for how long.",
            Holder,
            {},
            lambda: statement("vacuum"),
        )
    ]
