"""What a reader leaves out of a folder, counted by kind, for one line each."""

from collections import Counter
from pathlib import Path

from cocoop.data.formats import NEEDS

OTHER = "files with other endings"
LOOSE = "pictures beside the class folders"
HIDDEN = "hidden pictures, and folders and files of systems"
LINKS = "links to folders that they lie in"
SPECIAL = "pipes, sockets and devices"

_SHOWN = 3


class LeftOut:
    """Counts what is left out, and names the first by their paths below `root`, or as they are given."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._first: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self._endings: Counter[str] = Counter()

    def add(self, kind: str, path: Path) -> None:
        """Count one file, folder or link as left out for being of this kind."""
        self._counts[kind] += 1
        first = self._first.setdefault(kind, [])
        if len(first) < _SHOWN:
            first.append((path if self._root is None else path.relative_to(self._root)).as_posix())
        if kind == OTHER:
            self._endings[path.suffix.lower() or "without any"] += 1

    def notes(self) -> tuple[str, ...]:
        """One line per kind: how many, the first names, and which of them other software could read."""
        return tuple(map(self._note, sorted(self._counts)))

    def _note(self, kind: str) -> str:
        count, needed = f"{self._counts[kind]:,}", ""
        if kind == OTHER:
            count = ", ".join(f"{number:,} {ending}" for ending, number in self._endings.most_common(5))
            needed = "".join(f"; {needs}" for needs in sorted({NEEDS[e] for e in self._endings if e in NEEDS}))
        more = ", ..." if self._counts[kind] > _SHOWN else ""
        return f"left out {kind} ({count}): {', '.join(self._first[kind])}{more}{needed}"

    def __str__(self) -> str:
        """The notes as sentences behind an error."""
        return "".join(f" Note: {note}." for note in self.notes())
