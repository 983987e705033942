"""A prediction as text: a table's lines, a CSV record, a line of JSON, or an entry of a JSON list."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

from cocoop.escapes import dumps, read_back, spreadsheet, visible
from cocoop.reading import lines, parse_json
from cocoop.serving.predictor import Prediction

NONE_OF_THESE = "(none of these)"
"""The class of the table where none is probable enough."""

COLUMNS = ("image", "class", "probability", "top", "error")
"""What JSON lines and Parquet hold of a picture."""


def entry_of(row: Prediction, embeddings: bool) -> dict[str, Any]:
    """A row by `COLUMNS`, and "embedding" if asked for, ready for JSON."""
    label = None if row.label is None else str(row.label)
    top = [{"class": str(name), "probability": probability} for name, probability in row.top]
    entry = dict(zip(COLUMNS, (row.key, label, row.probability, top, row.error), strict=True))
    embedding = None if row.feature is None else row.feature.tolist()
    return entry | ({"embedding": embedding} if embeddings else {})


class TextRows:
    """A text form. head: what stands before the first row."""

    head = ""
    start = ""  # how a file of this form begins

    def __init__(self, top: int, embeddings: bool) -> None:
        self.top, self.embeddings = top, embeddings

    def text(self, row: Prediction) -> str:
        """A picture's row."""
        raise NotImplementedError

    def end(self) -> str:
        """What stands after the last row."""
        return ""

    def records(self, file: IO[bytes]) -> Iterator[bytes]:
        """The whole rows of a file behind its head; a torn one at the end is left out."""
        raise NotImplementedError

    def key(self, record: bytes) -> tuple[str, bool]:
        """A whole row's key, and whether it is an error. `ValueError`, `KeyError` for what these never wrote."""
        raise NotImplementedError


class _Table(TextRows):
    """File, class and probability in percent, by tabs, a line for each of the best classes; of an error its text."""

    def text(self, row: Prediction) -> str:
        if row.error is not None:
            return _line(row.key, "", "", row.error)
        names = [str(label) for label, _ in row.top]
        names[0] = NONE_OF_THESE if row.label is None else names[0]
        return "".join(_line(row.key, name, f"{100 * p:.1f}") for name, (_, p) in zip(names, row.top, strict=True))


def _line(*cells: str) -> str:
    return "\t".join(map(visible, cells)) + "\n"


class _Csv(TextRows):
    def __init__(self, top: int, embeddings: bool) -> None:
        super().__init__(top, embeddings)
        more = [f"{name}_{place}" for place in range(2, top + 1) for name in ("class", "probability")]
        self.columns = ["image", "class", "probability", "error", *more]
        self.head = self.start = _csv(self.columns)

    def text(self, row: Prediction) -> str:
        more = [value for pair in row.top[1:] for value in pair]
        cells = [row.key, row.label, row.probability, row.error, *more]
        return _csv(cells + [None] * (len(self.columns) - len(cells)))

    def records(self, file: IO[bytes]) -> Iterator[bytes]:
        record = b""
        for line in lines(file):
            record += line
            # A quote within a value is written twice: with an even number of them no value is open.
            if record.endswith(b"\n") and record.count(b'"') % 2 == 0:
                yield record
                record = b""

    def key(self, record: bytes) -> tuple[str, bool]:
        cells = next(csv.reader(io.StringIO(record.decode(), newline=""), strict=True))
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} values")
        return read_back(cells[0]), bool(cells[3])


def _csv(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(spreadsheet, cells))
    return line.getvalue()


def csv_of(rows: Sequence[Prediction]) -> str:
    """Predictions as a file of CSV, with as many columns as the longest row needs."""
    lines = _Csv(max([1, *(len(row.top) for row in rows)]), embeddings=False)
    return lines.head + "".join(map(lines.text, rows))


class _JsonLines(TextRows):
    start = '{"image": '

    def text(self, row: Prediction) -> str:
        return dumps(entry_of(row, self.embeddings)) + "\n"

    def records(self, file: IO[bytes]) -> Iterator[bytes]:
        return (line for line in lines(file) if line.endswith(b"\n"))

    def key(self, record: bytes) -> tuple[str, bool]:
        entry = parse_json(record)
        if list(entry) != [*COLUMNS, *["embedding"] * self.embeddings]:
            raise ValueError(f"the keys {', '.join(entry)}")
        if not isinstance(entry["image"], str):
            raise ValueError(f"{dumps(entry['image'])} for the name of a picture")
        return entry["image"], entry["error"] is not None


class _JsonList(TextRows):
    """One JSON document: an entry for each of the best classes, or for an error."""

    def __init__(self, top: int, embeddings: bool) -> None:
        super().__init__(top, embeddings)
        self.begun = False

    def end(self) -> str:
        return "\n]\n" if self.begun else "[]\n"

    def text(self, row: Prediction) -> str:
        entries = [{"image": row.key, "class": str(name), "probability": p} for name, p in row.top]
        if row.error is not None:
            entries = [{"image": row.key, "error": row.error}]
        elif row.label is None:
            entries[0]["class"] = None
        before, self.begun = ",\n" if self.begun else "[\n", True
        return before + dumps(entries, indent=2)[2:-2]


TEXT_FORMS: dict[str, type[TextRows]] = {"table": _Table, "csv": _Csv, "jsonl": _JsonLines, "json": _JsonList}
"""Name -> how it writes a row."""
