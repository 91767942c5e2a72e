"""Where to listen: ``host:port`` in its parts."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})")
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HIGHEST_PORT: Final = 65535


def address(listen: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[ipv6]:port`` or ``:port`` (all interfaces). Raises ValueError."""
    match = _ADDRESS.fullmatch(listen)
    if match is None:
        raise ValueError("expected host:port such as 127.0.0.1:9718, [::1]:9718 or :9718")
    if int(match["port"]) > _HIGHEST_PORT:
        raise ValueError("expected a port from 0 to 65535 after the host")
    six, host, port = match["six"], match["host"], int(match["port"])
    if six is not None:
        if not _is_literal(ipaddress.IPv6Address, six):
            raise ValueError("expected an IPv6 address between the brackets")
        return six, port
    if host and not _is_literal(ipaddress.IPv4Address, host) and not _is_name(host):
        raise ValueError("expected an IPv4 address, [IPv6] or a host name before the port")
    return host or "0.0.0.0", port  # noqa: S104  # asked for by leaving the host out


def _is_literal(kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    """Whether labels make a host name: the last one is no number, or it would be a wrong IPv4 address."""
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and not labels[-1].isdigit() and all(_LABEL.fullmatch(label) for label in labels)
