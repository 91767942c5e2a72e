"""The only door to a server: one connection, one message a read, every error translated once.

A read is a single simple-query message without ``BEGIN``: settings with ``SET LOCAL``, then one ``SELECT``. The
server wraps it in a transaction of its own, so nothing of ours outlives the message (also behind a pooler in
transaction mode), no snapshot is held between reads, and an error leaves the connection clean.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from ..errors import ConfigError, ConfigFault, SourceError
from .connection import Connection, attempts, keywords
from .installed import FunctionRow, Installed, functions_select, usable
from .refusals import fault_of_string, reason_of, sentence, unknown_key
from .server import Identity, Server
from .statements import (
    Query,
    compose,
    explained,
    filled,
    identifier,
    joined,
    literal,
    raw,
    statement,
    timed,
    union,
    values,
    written,
)

if TYPE_CHECKING:
    import threading

    from ..config import Database

__all__ = [
    "Query",
    "Server",
    "Session",
    "filled",
    "identifier",
    "joined",
    "literal",
    "raw",
    "statement",
    "union",
    "values",
    "written",
]

_Row = TypeVar("_Row", bound=tuple[Any, ...])

#: What the server's own limits are given on top before the connection counts as dead, in seconds.
_GRACE: Final = 2.0

#: After so many seconds it is asked again which functions there are.
_FUNCTIONS_SOUGHT: Final = 60.0

#: No such function or schema, or not the right to it: they were dropped or made anew.
_FUNCTION_GONE: Final = frozenset(("42883", "3F000", "42501"))


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
        self._connection: Connection | None = None
        self._server: Server | None = None
        self._identity: tuple[str, int] = ("", 0)
        #: Connection string and password of the connection, as they were read for it.
        self._used: tuple[str, str | None] | None = None
        self._sent = 0.0
        self._ahead = 0.0
        #: What `sql role` prints, as far as it is there and the role may call it, by name.
        self.functions: Mapping[str, Installed] = {}
        self._functions_due = 0.0

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

    def set_standby(self, *, standby: bool) -> None:
        """Take whether the server is a standby now: it may have been promoted since."""
        self._server = self.server._replace(standby=standby)

    @property
    def identity(self) -> tuple[str, int]:
        """Which cluster and which database in it: other ones, and relation ids mean other tables."""
        return self._identity

    @property
    def several_hosts(self) -> bool:
        """Whether several hosts are named without saying which role of server is wanted."""
        return self._used is not None and len(attempts(*self._used)) > 1

    def uses(self, info: str, password: str | None) -> bool:
        """Whether the connection was made with this connection string and password, whatever files hold now."""
        return self._used == (info, password)

    @property
    def server(self) -> Server:
        """What the server said of itself when the connection was made, or since of its role."""
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
        """Connect, or raise SourceError with reason ``connection``.

        Raises ConfigError for a missing secret file, and for what libpq cannot make a connection of.
        """
        self.close()
        self._functions_due = float("inf")
        info, password = self.database.conninfo(), self.database.password()
        try:
            tries = attempts(info, password)
        except psycopg.Error:
            raise self._unusable(unknown_key(info, keywords())) from None
        for last, parameters in zip([False] * (len(tries) - 1) + [True], tries, strict=True):
            try:
                self._connection = self._open(info, parameters)
                break
            except psycopg.Error as error:
                if fault := fault_of_string(str(error)):
                    raise self._unusable(fault) from None
                if last:
                    raise SourceError("connection", _sentence(error), sqlstate=error.sqlstate) from None
            except (ValueError, UnicodeError):
                raise self._unusable("libpq cannot read the connection string") from None
        self._used = (info, password)
        self._server = server = self.read(statement("server"), Server)[0]
        self.set_clock(server.now)
        system = self.read(statement("identity"), Identity)[0].system if server.identifiable else str(server.started)
        self._identity = (system, server.database_oid)
        self._find_functions()
        return server

    def _find_functions(self) -> None:
        self._functions_due = float("inf")
        self.functions = usable(self.read(functions_select(self.database), FunctionRow))
        if self._connection is not None:
            self._connection.functions = {name: found.arguments for name, found in self.functions.items() if found.fits}
        self._functions_due = time.monotonic() + _FUNCTIONS_SOUGHT

    def _unusable(self, why: str) -> ConfigError:
        where = f"{self.database.name}: " + ("dsn" if self.database.dsn_file is None else "dsn_file")
        return ConfigError(where, [ConfigFault("", why)])

    def _open(self, info: str, parameters: Mapping[str, Any]) -> Connection:
        connection = Connection.connect(
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
        if time.monotonic() >= self._functions_due:
            self._find_functions()
        began = time.monotonic()
        columns, rows = self._send(timed(select), by_index=by_index)
        self.spent += rows[-1][-1] if rows else time.monotonic() - began
        if columns[:-1] != into._fields:  # type: ignore[attr-defined]  # every row type here is a NamedTuple
            raise AssertionError(f"columns {columns[:-1]} are not the fields of {into.__name__}")
        make = into._make  # type: ignore[attr-defined]  # as above
        return [make(row[:-1]) for row in rows]

    def explain(self, select: Query) -> dict[str, Any]:
        """The plan of a SELECT that is read ``by_index``, without running it. Raises SourceError as ``read`` does."""
        began = time.monotonic()
        _, rows = self._send(explained(select), by_index=True)
        self.spent += time.monotonic() - began
        plan: dict[str, Any] = rows[0][0][0]["Plan"]
        return plan

    def _send(self, last: Query, *, by_index: bool) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        connection = self._connection
        if connection is None:
            raise SourceError("connection", "not connected")
        timeouts = self.database.statement_timeout, self.database.lock_timeout
        message = compose(last, *timeouts, by_index=by_index)
        began = self._sent = time.monotonic()
        connection.deadline = began + self.database.statement_timeout + _GRACE
        self.messages += 1
        try:
            with connection.cursor() as cursor:
                cursor.execute(message)
                while cursor.nextset():
                    pass
                return tuple(column.name for column in cursor.description or ()), cursor.fetchall()
        except psycopg.Error as error:
            self.spent += time.monotonic() - began
            known = _translate(error)
            if known.sqlstate in _FUNCTION_GONE and connection.functions:
                self._functions_due = 0.0
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


def _translate(error: psycopg.Error) -> SourceError:
    """What psycopg raised, in our words."""
    detail = _sentence(error)
    operational = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return SourceError(reason_of(error.sqlstate, detail, operational=operational), detail, sqlstate=error.sqlstate)


def _sentence(error: psycopg.Error) -> str:
    return sentence(error.diag.message_primary or str(error) or type(error).__name__)
