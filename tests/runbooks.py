"""The runbooks as tests see them: pages, sections, and the blocks that people paste."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.rulegen.catalogue import SLO_ALERT, WATCHES
from exporter.rulegen.signals import SIGNALS
from tests.servers import REPOSITORY

FOLDER = REPOSITORY / "docs" / "runbooks"
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")
INDEX = "README"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>\S.*)\n(?P<text>(?:.*\n)*?)(?P=indent)```$", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: the page and section it stands in, the words after its fence, its text without indent."""

    page: str
    section: str
    language: str
    of: str
    """What it is for: `any`, `pgmq`, `pg-boss`, `job-table`; empty for languages other than SQL."""
    versions: str
    """`from 11`, `until 10` or empty: those of what it is for."""
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def fits(self, version: tuple[int, ...]) -> bool:
        """Whether it is for that version."""
        if not self.versions:
            return True
        word, bound = self.versions.split()
        limit = tuple(int(number) for number in bound.split("."))
        assert word in {"from", "until"}, f"{self}: {word}"
        return version >= limit if word == "from" else version[: len(limit)] <= limit


def alerts() -> tuple[str, ...]:
    """The names of all alerts."""
    return (*(signal.alert for signal in SIGNALS), *(watch.alert for watch in WATCHES), SLO_ALERT)


def pages() -> list[Path]:
    """Every page of the folder, the index included."""
    return sorted(FOLDER.glob("*.md"))


def blocks(language: str = "") -> list[Block]:
    """The blocks of all pages, of one language where it is named."""
    return [block for path in pages() for block in _blocks(path) if language in {"", block.language}]


def headings(path: Path) -> list[str]:
    """The second-level headings of a page; what stands in fences is none."""
    return _HEADING.findall(_FENCE.sub("", path.read_text()))


def _blocks(path: Path) -> Iterator[Block]:
    text = path.read_text()
    for found in _FENCE.finditer(text):
        before = text[: found.start()]
        language, _, rest = found["info"].partition(" ")
        of, _, versions = rest.partition(" ")
        lines = [line.removeprefix(found["indent"]) for line in found["text"].splitlines()]
        yield Block(
            page=path.stem,
            section=(_HEADING.findall(before) or [""])[-1],
            language=language,
            of=of,
            versions=versions,
            text="\n".join(lines),
            line=before.count("\n") + 1,
        )
