"""Predictions as rows: a table, CSV, JSON lines or Parquet, written as they come; CSV and JSON lines can be resumed."""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from cocoop.errors import InputError, RunError, expect_choice, plainly
from cocoop.escapes import for_stdout, visible
from cocoop.serving.parquet import KnownClip, ParquetRows
from cocoop.serving.predictor import Prediction
from cocoop.serving.text_rows import COLUMNS, TEXT_FORMS, TextRows, entry_of

FORMATS = ("table", "csv", "jsonl", "parquet")
"""How rows can be written."""

RESUMABLE = ("csv", "jsonl")
"""Those in a file that can be gone on with."""

_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".txt": "table", ".tsv": "table"}


class Results(Protocol):
    """Where rows go. errors: how many of all rows, earlier ones too, are errors. count: of all."""

    errors: int
    count: int

    def lacks(self, key: str) -> bool:
        """Whether no earlier run has written the row of this picture; to be asked once for each picture."""

    def write(self, row: Prediction) -> None:
        """Add a row."""


def format_of(given: str | None, out: Path | None) -> str:
    """The format that is named, or else that of the file's ending, or else the table. `InputError` for others."""
    if given is not None:
        expect_choice("--format", given, FORMATS)
        return given
    if out is None:
        return "table"
    if out.suffix.lower() not in _ENDINGS:
        raise InputError(
            f"--out: expected a file that ends in {', '.join(_ENDINGS)}, or --format beside it; got {out}."
        )
    return _ENDINGS[out.suffix.lower()]


@contextmanager
def open_results(
    form: str, out: Path | None, top: int, embeddings: bool, resume: bool, clip: KnownClip
) -> Iterator[Results]:
    """Results in a format, in the file `out` or on stdout. See `check_results` for what can be asked for.

    Raises:
        InputError: with `resume`, a file that these options would not have written. RunError: the disk refuses.
    """
    if form == "parquet" and out is not None:
        with ParquetRows(out, COLUMNS + ("embedding",) * embeddings, clip) as rows:
            yield _ParquetResults(rows, embeddings)
        return
    lines = TEXT_FORMS[form](top, embeddings)
    if out is None:
        yield _TextResults(lines, sys.stdout, lines.head, None)
        print(end=lines.end())
        return
    done = _Done(out, lines) if resume and out.exists() else None
    try:
        if done is not None:
            os.truncate(out, done.end)
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(out, "a", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield _TextResults(lines, file, "" if done and done.end else lines.head, done)
            file.write(lines.end())
    except OSError as error:
        raise RunError(
            f"{out}: expected to write the results; got {plainly(error)}. Check its rights and free space."
            f"{_cut(out, lines) if form in RESUMABLE else ''}"
        ) from error


def _cut(out: Path, lines: TextRows) -> str:
    """Cut off a row that is torn, and say what is left."""
    with suppress(OSError, InputError):
        whole = _Done(out, lines).end
        os.truncate(out, whole)
        if whole:
            return " Its rows are whole: the same command with --resume goes on."
        out.unlink()
    return ""


def check_results(form: str, out: Path | None, embeddings: bool, resume: bool) -> None:
    """`InputError` for what cannot be written."""
    if form == "parquet" and out is None:
        raise InputError("--format parquet: expected --out FILE.parquet beside it, for it is no text; got none.")
    if embeddings and form not in ("jsonl", "parquet"):
        raise InputError(f"--embeddings: expected --format jsonl or parquet; got {form}.")
    if resume and (out is None or form not in RESUMABLE):
        raise InputError(
            f"--resume: expected --out with a .csv or .jsonl file, which can be gone on with; got {out or 'no file'}. "
            "A Parquet file is there only when it is whole."
        )
    if out is not None and out.exists() and not (resume and out.is_file()):
        raise InputError(f"{out}: expected a new file for the results; it is there. Choose another, or --resume.")


class _Done:
    """What a file holds of an earlier run: the keys of its whole rows, and where the last of them ends."""

    def __init__(self, path: Path, lines: TextRows) -> None:
        self.keys: Counter[str] = Counter()
        self.end = self.errors = 0
        start = lines.start.encode()
        with open(path, "rb") as file:
            beginning = file.read(len(start))
            if not start.startswith(beginning):
                raise _other(path, f"it begins with {beginning.decode(errors='replace')!r}")
            if len(beginning) < len(start):
                return
            self.end = file.seek(len(lines.head.encode()))
            for record in lines.records(file):
                try:
                    key, error = lines.key(record)
                except (ValueError, KeyError, TypeError, csv.Error) as fault:
                    raise _other(path, f"a row with {fault}") from fault
                self.keys[visible(key)] += 1
                self.errors += error
                self.end += len(record)


def _other(path: Path, came: str) -> InputError:
    return InputError(
        f"{path}: expected rows that the same command wrote before, to go on with; got another file: {came}. Give the "
        "options of then, or another --out."
    )


class _TextResults:
    def __init__(self, lines: TextRows, file: IO[str], head: str, done: _Done | None) -> None:
        self.lines, self.file = lines, file
        self.done = done.keys if done else Counter[str]()
        self.errors, self.count = (done.errors, done.keys.total()) if done else (0, 0)
        file.write(head)

    def lacks(self, key: str) -> bool:
        key = visible(key)
        if not self.done.get(key):
            return True
        self.done[key] -= 1
        return False

    def write(self, row: Prediction) -> None:
        self.errors += row.error is not None
        self.count += 1
        text = self.lines.text(row)
        self.file.write(for_stdout(text) if self.file is sys.stdout else text)
        self.file.flush()


class _ParquetResults:
    def __init__(self, rows: ParquetRows, embeddings: bool) -> None:
        self.rows, self.embeddings = rows, embeddings
        self.errors = self.count = 0

    def lacks(self, key: str) -> bool:
        return True

    def write(self, row: Prediction) -> None:
        self.errors += row.error is not None
        self.count += 1
        self.rows.write(entry_of(row, self.embeddings))
