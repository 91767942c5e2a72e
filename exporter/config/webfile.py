"""From the web configuration file to what the listener works with, or to every fault at once."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import ConfigError
from .document import Document, read
from .faults import told
from .tls import context, files
from .web import Tls, WebConfig

#: What changes when a file does; None while it cannot be looked at.
Stamp = tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Web:
    """How the listener serves. Two are never equal: each reading of the file is its own."""

    config: WebConfig = field(default_factory=WebConfig)
    tls: ssl.SSLContext | None = None
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)
    """The files it was made from, as they were just before they were read."""

    @property
    def unchanged(self) -> bool:
        """Whether the files are still those that were read."""
        return self.seen() == self.stamps

    def seen(self) -> dict[Path, Stamp]:
        """The files as they are now."""
        return {file: stamp(file) for file in self.stamps}


def stamp(file: Path) -> Stamp:
    """A file's identity, size and times."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def load_web(path: str | Path) -> Web:
    """The web configuration in a YAML file, its certificates loaded. Raises ConfigError with every fault at once."""
    file = Path(path)
    stamps = {file: stamp(file)}
    # An empty file is refused: one that is just being written must not open the listener to everyone.
    document = read(file, expected="tls_server_config:")
    document.value = _texts(document.value)
    faults = list(document.faults)
    config = None
    try:
        config = WebConfig.model_validate(document.value)
    except ValidationError as error:
        faults += told(document, error, (), {fault.path for fault in faults}, root=WebConfig)
    named = _tls(document)
    if named is not None:
        stamps |= {each: stamp(each) for each in files(named, file.parent).values()}

    def fault(key: str, message: str) -> None:
        faults.append(document.fault(("tls_server_config", key), message))

    tls = context(named, file.parent, fault) if named is not None else None
    if faults or config is None:
        raise ConfigError(document.where, sorted(dict.fromkeys(faults), key=lambda fault: fault.line or 0))
    return Web(config, tls, stamps)


def _texts(value: Any) -> Any:  # noqa: ANN401  # whatever stood in the file
    """Text without a memory of its quotes, which only variables need; there are none here."""
    if isinstance(value, dict):
        return {str(key): _texts(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_texts(below) for below in value]
    return str(value) if isinstance(value, str) else value


def _tls(document: Document) -> Tls | None:
    """The part about TLS, where it can be used; whatever the rest is."""
    try:
        return Tls.model_validate(document.at(("tls_server_config",)))
    except ValidationError:
        return None
