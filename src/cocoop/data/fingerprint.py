"""Telling an image file by its bytes, so that a training image is known again wherever it lies."""

import hashlib
from os import PathLike
from pathlib import Path

Fingerprint = tuple[int, str]
"""Size in bytes (cheap to compare first) and SHA-256 in hex."""


def fingerprint(path: str | PathLike[str]) -> Fingerprint:
    """The size and SHA-256 of a file's bytes."""
    content = Path(path).read_bytes()
    return len(content), hashlib.sha256(content).hexdigest()
