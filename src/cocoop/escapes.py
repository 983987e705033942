"""Text that somebody else wrote, such as names of classes and files, made harmless where it is shown.

One function for each form: `visible` for terminals, messages and HTML (whose marks the templates escape), `markdown`,
`spreadsheet` and `read_back` for CSV, `dumps` for JSON. LaTeX's is `cocoop.reports.latex`.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import Any

_JOINERS = "\u200c\u200d"  # of Persian, of Indic scripts and of emoji: they hide and move nothing
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKS = re.compile(r"([\\`*\[\]|])")


def visible(text: str) -> str:
    r"""The text with every letter spelled out that moves a cursor, hides, turns what stands around it, or is none.

    A tab becomes "\t", ESC "\x1b", the mark that makes text run from the right "\u202e". Letters of all scripts, also
    those that run from the right, stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) else ascii(letter)[1:-1] for letter in text)


def for_stdout(text: str) -> str:
    """Lines of text as they are; but each `visible`, with its tabs, where a terminal is to show them."""
    if not sys.stdout.isatty():
        return text
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def shortened(text: str, most: int) -> str:
    """The text without its middle if it has more than `most` letters: what came stands first, and the remedy last."""
    if len(text) <= most:
        return text
    left = most * 2 // 3
    return f"{text[:left]} [{len(text) - most:,} letters left out] {text[left - most :]}"


def markdown(text: str) -> str:
    """The text on one line of Markdown, without a link, a picture, an element or the end of a table's cell in it."""
    line = visible(" ".join(text.split()))
    return _MARKS.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def spreadsheet(cell: Any) -> Any:
    """A cell of CSV: a text that a spreadsheet would compute, such as "=1+1", has an apostrophe in front.

    So does one that begins with apostrophes and goes on so; `read_back` takes it away again. All else stays: names of
    files have to be found again.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def read_back(cell: str) -> str:
    """What `spreadsheet` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def dumps(content: Any, indent: int | None = None) -> str:
    """JSON in letters of all scripts, but with those spelled out that `visible` spells out. Floats may be NaN."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) or letter == "\n" else json.dumps(letter)[1:-1] for letter in text)


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) == "Zs"
