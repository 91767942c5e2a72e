"""Where tenants stand, written into a function: which rule a queue has, by its name, and the SQL of that rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..folding import FOLDED
from ..model import Fault
from .functions import Found, digest, dollar
from .globs import regex
from .statements import SCHEMA, Query, identifier, literal, raw, script
from .tenancy import odd_of, value

if TYPE_CHECKING:
    from ..config import Database, TenantOf
    from .postgres import Session


def tenant_function(database: Database, name: str, source: str, payload: str) -> Query:
    """The function: for a queue of ``source`` and its table's relation id, the SQL of the tenant, as text."""
    body = raw(dollar("\n".join(["begin", _body(database, source, payload), "end"]), "function"))
    return script("role_tenant", name=identifier(SCHEMA, name), body=body)


def odd_found() -> Found:
    """What `tenancy.odd` gives, found by a function for each of its queues."""
    text = dollar(odd_of(raw("%L::text[]")).as_string(None), "query")
    return Found(raw(f"case when each_kept[_n] like '%{FOLDED}%' then format({text}, each_kept[_n]) else '' end"))


def tenants_digest(database: Database, source: str) -> str:
    """Changes when a queue's tenant may stand elsewhere."""
    sources = [source]
    if source == "pgboss":
        sources += [f"pgboss:{schema}" for schema in database.pgboss.schemas]
    return digest("\n".join(_body(database, of, "payload") for of in sources))


def tenants_outdated(session: Session, database: Database, function: str, source: str) -> list[Fault]:
    """A fault where the function in the database knows the tenants by other rules than the configuration."""
    found = session.functions.get(function)
    if not database.tenants.from_ or found is None or not found.fits:
        return []
    if found.made.tenants == tenants_digest(database, source):
        return []
    message = f"the functions of {SCHEMA} know tenants by other rules than the configuration: run `sql role` again"
    return [Fault("", "other", message)]


def _body(database: Database, source: str, payload: str) -> str:
    lines = []
    for rule in database.tenants.from_:
        if rule.source not in (None, source):
            continue
        patterns = [regex(glob) for glob in rule.queues]
        conditions = [f"_queue ~ {_quoted(pattern)}" for pattern in patterns if pattern is not None]
        if "*" in rule.queues:
            lines.append(f"  {_returned(rule, payload)}")
            break
        if conditions:
            lines += [f"  if {' or '.join(conditions)} then", f"    {_returned(rule, payload)}", "  end if;"]
    else:
        lines.append("  return 'null::text';")
    return "\n".join(lines)


def _returned(rule: TenantOf, payload: str) -> str:
    """What the function gives for a queue of this rule, whose table may lack the place."""
    place = payload if rule.message is not None else "headers" if rule.headers is not None else rule.column
    if place is None:
        return "return 'null::text';"
    found = _quoted(value(rule, (place,), payload).as_string(None))
    if rule.message is not None:
        return f"return {found};"
    there = f"pg_attribute where attrelid = _place and attname = {_quoted(place)} and not attisdropped"
    return f"return case when exists (select from {there}) then {found} else 'null::text' end;"


def _quoted(text: str) -> str:
    return literal(text).as_string(None).strip()
