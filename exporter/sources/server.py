"""What a connection asks first: which server this is, and which cluster."""

from __future__ import annotations

from typing import NamedTuple


class Server(NamedTuple):
    """What a new connection said of itself."""

    version: int
    """``server_version_num``, such as 150018."""
    standby: bool
    database_oid: int
    backend_pid: int
    now: float
    """The server's clock, seconds since the epoch."""
    started: float
    """When it was started, on its clock."""
    identifiable: bool
    """Whether the role may ask which cluster this is."""
    sees_all_activity: bool
    """Whether the role may see other sessions' transactions (``pg_read_all_stats``)."""


class Identity(NamedTuple):
    """A row of ``identity.sql``."""

    system: str
