"""What outputs are made of, so that those of another run, CLIP or class list are not taken for these."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

_OF_NO_IMPORTANCE = (".md", ".png", ".html", ".jsonl")


def run_hash(folder: str) -> str:
    """SHA-256 of the files of a run folder, or of an exported model, that decide what it predicts."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file() and not path.name.startswith("."))
    return _hash(path for path in files if path.suffix not in _OF_NO_IMPORTANCE)


def names_hash(names: Iterable[Any]) -> str:
    """SHA-256 of class names in their order."""
    return sha256(json.dumps([str(name) for name in names]).encode()).hexdigest()


@cache
def code_hash() -> str:
    """SHA-256 of this package's own files."""
    return _hash(sorted(Path(__file__).parents[1].rglob("*.py")))


def _hash(files: Iterable[Path]) -> str:
    digest = sha256()
    for path in files:
        digest.update(f"{path.name}\n".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()
