"""Whose schemas are read without being named as there: what a reader's session runs is the tables' owner's to choose.

Expressions and predicates of indexes and of statistics, casts of types of their own, and views run with the reader's
rights, some while a SELECT is only planned, and no setting keeps them from it. So a schema that was merely found
is read only where its owner could do as much anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import SourceError
from .findings import NOTE, Finding
from .statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import Session


class OwnerRow(NamedTuple):
    """A row of ``schema_owner.sql``; none where there is no such schema."""

    owner: str
    trusted: bool


def vouch(session: Session, schema: str, kind: str, enabled: object, function: str) -> bool:
    """Whether there is such a schema that may be read. Raises SourceError, reason ``privilege``, where nobody vouches.

    ``kind.enabled`` true vouches for whoever owns it. Functions of `sql role` have their own list of owners:
    ``function`` is one that would be called.
    """
    made = session.functions.get(function)
    if enabled is True or (made is not None and made.fits):
        return True
    rows = session.read(statement("schema_owner", schema=schema), OwnerRow)
    for row in rows:
        if not row.trusted:
            message = (
                f"the schema {schema} was found, and belongs to {row.owner}, no superuser nor the database's owner, who"
                f" could run code as this role: it is read only with {kind}.enabled: true"
            )
            raise SourceError("privilege", message)
    return bool(rows)


def findings(session: Session, schema: str, kind: str, enabled: object) -> Iterator[Finding]:
    """That the configuration alone vouches for an owner."""
    if enabled is not True:
        return
    for row in session.read(statement("schema_owner", schema=schema), OwnerRow):
        if not row.trusted:
            message = (
                f"belongs to {row.owner}, no superuser nor the database's owner: {kind}.enabled: true trusts that role,"
                " whose tables can run code with this one's rights"
            )
            yield Finding(NOTE, f"schema {schema}", message)
