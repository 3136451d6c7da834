"""The pages of the documentation, as the tests of them read them."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKE_TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *DOCS]
FENCE = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Path of its page.
        line: Of its first line, in the page.
        language: What stands behind the fence.
        code: What it holds.
        not_run: Why it cannot run here; empty if it can.
    """

    page: str
    line: int
    language: str
    code: str
    not_run: str

    @property
    def file(self) -> str | None:
        """The file's name, where the block starts with one in a comment: ``# mine.py``."""
        found = re.match(r"# ([\w.-]+\.(?:py|yaml))\n", self.code)
        return found[1] if found else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = read(page)
    return [
        Block(page, text[: found.start(3)].count("\n") + 1, found[2], found[3], found[1] or "")
        for found in FENCE.finditer(text)
    ]


def first_cells(page: str) -> set[str]:
    """What the tables of a page define: the names in first cells, several of them with commas between."""
    cells = re.findall(r"^\| ([^|]+?) \|", read(page), re.MULTILINE)
    return {name.strip(" `") for cell in cells for name in cell.split(",")}
