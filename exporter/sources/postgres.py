"""The only door to a server: one connection, one message a read, every error translated once.

A read is a single simple-query message without ``BEGIN``: settings with ``SET LOCAL``, then one ``SELECT``. The
server wraps it in a transaction of its own, so nothing of ours outlives the message (also behind a pooler in
transaction mode), no snapshot is held between reads, and an error leaves the connection clean.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import psycopg
from psycopg import conninfo, errors, sql

from ..errors import SourceError

if TYPE_CHECKING:
    import threading

    from ..config import Database

#: A composed SELECT, or a part of one.
Query = sql.Composable

_Row = TypeVar("_Row", bound=tuple[Any, ...])

#: What the server's own limits are given on top before the connection counts as dead, in seconds.
_GRACE: Final = 2.0

#: How often a wait looks whether the exporter is stopping, in seconds.
_GLANCE: Final = 0.1

_SETTINGS = sql.SQL(
    "set transaction read only; set local row_security = off; set local search_path = pg_catalog; "
    "set local statement_timeout = {statement}; set local lock_timeout = {lock}; "
    # Bounded reads stay bounded only in their index's order, whatever a planner without statistics would guess.
    "set local max_parallel_workers_per_gather = 0; set local jit = off; "
    "set local enable_bitmapscan = off; set local enable_sort = off; {more}"
)
_READ = sql.SQL(
    # The clock behind the last row is the message's whole time in the server, planning included.
    "select s.*, extract(epoch from clock_timestamp() - statement_timestamp())::float8 from ({select}) s"
)


#: For reads that have an index to go by: a table never analysed looks small, and would be read whole.
_BY_INDEX = sql.SQL("set local enable_seqscan = off; ")


class Server(NamedTuple):
    """What a new connection said of itself."""

    version: int
    """``server_version_num``, such as 150018."""
    standby: bool
    database_oid: int
    backend_pid: int
    now: float
    """The server's clock, seconds since the epoch."""
    sees_all_activity: bool
    """Whether the role may see other sessions' transactions (``pg_read_all_stats``)."""


def statement(name: str, **parts: object) -> Query:
    """The SELECT in ``sql/<name>.sql`` with its ``{parts}`` filled in: a ``Query`` as it is, else a literal."""
    text = _text(name)
    filled = {key: part if isinstance(part, sql.Composable) else sql.Literal(part) for key, part in parts.items()}
    return sql.SQL(text).format(**filled)


def identifier(*names: str) -> Query:
    """A quoted, dotted identifier."""
    return sql.Identifier(*names)


def raw(text: str) -> Query:
    """SQL written by us, never input."""
    return sql.SQL(text)


def literal(value: object) -> Query:
    """A value as a literal."""
    return sql.Literal(value)


def joined(between: str, parts: Sequence[Query]) -> Query:
    """Parts of a SELECT with the same text between each two."""
    return sql.SQL(between).join(parts)


def written(expression: str) -> Query:
    """An SQL expression of the operator's own, from the configuration, in parentheses."""
    return sql.SQL(f"({expression})")


def filled(text: str, **parts: Query) -> Query:
    """SQL written by us with its ``{parts}`` filled in."""
    return sql.SQL(text).format(**parts)


def union(selects: list[Query]) -> Query:
    """All rows of the SELECTs, as one SELECT."""
    return sql.SQL(" union all ").join(selects)


_texts: dict[str, str] = {}


def _text(name: str) -> str:
    if name not in _texts:
        whole = (resources.files(__package__) / "sql" / f"{name}.sql").read_text("utf-8")
        _texts[name] = "\n".join(line for line in whole.splitlines() if not line.lstrip().startswith("--"))
    return _texts[name]


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose waits end: at a deadline, or when the exporter stops."""

    stopping: threading.Event | None = None
    deadline: float = float("inf")

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # psycopg's own types are private
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        state = next(gen, _DONE)
        while state is not _DONE:
            ready = yield state
            if self.stopping is not None and self.stopping.is_set():
                raise SourceError("connection", "the exporter is stopping")
            if time.monotonic() > self.deadline:
                raise SourceError("connection", "the server did not answer in time; the connection was given up")
            try:
                state = gen.send(ready)
            except StopIteration as done:
                return done.value
        return None


_DONE: Final = object()


class Session:
    """One database's connection.

    ``spent`` is the database time used so far, in seconds, as the server measured it (a message that failed: as we
    did); ``messages`` counts the SELECTs sent. Not for use by several threads.
    """

    def __init__(self, database: Database, stopping: threading.Event | None = None) -> None:
        self.database = database
        self.spent = 0.0
        self.messages = 0
        self._stopping = stopping
        self._connection: _Connection | None = None
        self._server: Server | None = None
        self._sent = 0.0
        self._ahead = 0.0

    @property
    def sent(self) -> float:
        """When the last message was sent, on our monotonic clock."""
        return self._sent

    @property
    def ahead(self) -> float:
        """How far the server's clock is ahead of our monotonic one, in seconds."""
        return self._ahead

    @property
    def now(self) -> float:
        """The server's clock, as far as its last answer with a clock tells (epoch seconds)."""
        return time.monotonic() + self._ahead

    def set_clock(self, now: float) -> None:
        """Take the server's ``statement_timestamp()`` of the last message."""
        self._ahead = now - self._sent

    @property
    def server(self) -> Server:
        """What the server said of itself when the connection was made."""
        if self._server is None:
            raise SourceError("connection", "not connected")
        return self._server

    @property
    def connected(self) -> bool:
        """Whether there is a connection that has not failed yet."""
        return self._connection is not None and not self._connection.closed

    @property
    def pooled(self) -> bool:
        """Whether a pooler stands in between: the session's own process is not the one that connected."""
        connection = self._connection
        return connection is not None and connection.info.backend_pid != self.server.backend_pid

    def connect(self) -> Server:
        """Connect, or raise SourceError with reason ``connection`` (or ConfigError from a missing secret file)."""
        self.close()
        info, password = self.database.conninfo(), self.database.password()
        attempts = _attempts(info, password)
        for last, parameters in zip([False] * (len(attempts) - 1) + [True], attempts, strict=True):
            try:
                self._connection = self._open(info, parameters)
                break
            except psycopg.Error as error:
                if last:
                    raise translate(error, connecting=True) from None
            except (ValueError, UnicodeError):
                raise SourceError("connection", "the connection string cannot be read by libpq") from None
        self._server = self.read(statement("server"), Server)[0]
        self.set_clock(self._server.now)
        return self._server

    def _open(self, info: str, parameters: Mapping[str, Any]) -> _Connection:
        connection = _Connection.connect(
            info,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=max(2, round(self.database.connect_timeout)),
            application_name="pgqueue-exporter",
            client_encoding="UTF8",
            # A dead peer is noticed by the kernel as well, not only by our deadline.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=10_000,
            **parameters,
        )
        connection.stopping = self._stopping
        return connection

    def read(self, select: Query, into: type[_Row], *, by_index: bool = False) -> list[_Row]:
        """Send one SELECT and give its rows, whose columns are the fields of ``into`` in their order.

        ``by_index`` lets the planner read a table whole only where no index serves. Raises SourceError; after one
        with reason ``connection`` the session is closed.
        """
        began = time.monotonic()
        columns, rows = self._send(_READ.format(select=select), by_index=by_index)
        self.spent += rows[-1][-1] if rows else time.monotonic() - began
        if columns[:-1] != into._fields:  # type: ignore[attr-defined]  # every row type here is a NamedTuple
            raise AssertionError(f"columns {columns[:-1]} are not the fields of {into.__name__}")
        make = into._make  # type: ignore[attr-defined]  # as above
        return [make(row[:-1]) for row in rows]

    def explain(self, select: Query) -> dict[str, Any]:
        """The plan of a SELECT that is read ``by_index``, without running it. Raises SourceError as ``read`` does."""
        began = time.monotonic()
        message = sql.SQL("explain (format json, verbose, costs off) {select}").format(select=select)
        _, rows = self._send(message, by_index=True)
        self.spent += time.monotonic() - began
        plan: dict[str, Any] = rows[0][0][0]["Plan"]
        return plan

    def _send(self, last: Query, *, by_index: bool) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        connection = self._connection
        if connection is None:
            raise SourceError("connection", "not connected")
        settings = _SETTINGS.format(
            statement=sql.Literal(round(self.database.statement_timeout * 1000)),
            lock=sql.Literal(round(self.database.lock_timeout * 1000)),
            more=_BY_INDEX if by_index else sql.SQL(""),
        )
        began = self._sent = time.monotonic()
        connection.deadline = began + self.database.statement_timeout + _GRACE
        self.messages += 1
        try:
            with connection.cursor() as cursor:
                cursor.execute(settings + last)
                while cursor.nextset():
                    pass
                return tuple(column.name for column in cursor.description or ()), cursor.fetchall()
        except psycopg.Error as error:
            self.spent += time.monotonic() - began
            known = translate(error)
            if connection.closed or connection.broken:
                known = SourceError("connection", known.detail, sqlstate=known.sqlstate)
            if known.reason == "connection":
                self.close()
            raise known from None
        except SourceError:
            self._abandon()
            raise

    def quoted(self, *names: str) -> str:
        """A quoted, dotted identifier, to be shown."""
        return identifier(*names).as_string(self._connection)

    def _abandon(self) -> None:
        """Close in the middle of a query, asking the server once, briefly, to stop it."""
        connection, self._connection, self._server = self._connection, None, None
        if connection is not None:
            connection.stopping, connection.deadline = None, float("inf")
            # If the request is lost, the server's own statement_timeout ends the query.
            with suppress(psycopg.Error, OSError):
                connection.cancel_safe(timeout=0.5)
            connection.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._server = self._connection, None, None
        if connection is not None:
            connection.close()


def _attempts(info: str, password: str | None) -> list[dict[str, Any]]:
    """Connection parameters to try in order: of several hosts, the primary first, then any that answers."""
    given = {"password": password} if password is not None else {}
    try:
        parameters = conninfo.conninfo_to_dict(info)
    except psycopg.Error:
        raise SourceError("connection", "the connection string cannot be read by libpq") from None
    several = "," in str(parameters.get("host", "")) or "," in str(parameters.get("hostaddr", ""))
    if several and "target_session_attrs" not in parameters:
        return [{**given, "target_session_attrs": "read-write"}, {**given, "target_session_attrs": "any"}]
    return [dict(given)]


def several_hosts(info: str) -> bool:
    """Whether a connection string names several hosts without saying which role of server it wants."""
    return len(_attempts(info, None)) > 1


def translate(error: psycopg.Error, *, connecting: bool = False) -> SourceError:
    """What psycopg raised, in our words: a reason and the server's first sentence (no secrets, no SQL)."""
    detail = _sentence(error)
    if connecting:
        return SourceError("connection", detail, sqlstate=error.sqlstate)
    if isinstance(error, errors.InsufficientPrivilege):
        reason = "hidden" if "row-level security" in detail else "privilege"
    elif isinstance(error, errors.LockNotAvailable):
        reason = "lock"
    elif isinstance(error, errors.QueryCanceled):
        reason = "timeout"
    elif isinstance(error, (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedObject)) or (
        error.sqlstate in {"3F000", "42883"}
    ):
        reason = "missing"
    elif isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and (
        error.sqlstate is None or error.sqlstate[:2] in {"08", "57", "53"}
    ):
        reason = "connection"
    else:
        reason = "other"
    return SourceError(reason, detail, sqlstate=error.sqlstate)


def _sentence(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error) or type(error).__name__
    return " ".join(text.split())
