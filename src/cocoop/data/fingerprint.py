"""Telling an image file by its bytes, so that a training image is known again wherever it lies."""

import hashlib
from os import PathLike
from pathlib import Path


def fingerprint(path: str | PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
