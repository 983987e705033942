"""Telling an image file by its bytes, so that a training image is known again wherever it lies."""

import hashlib
from os import PathLike
from pathlib import Path

from cocoop.errors import InputError


def fingerprint(path: str | PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits. `InputError` where it cannot be read."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_bytes(path: str | PathLike[str]) -> bytes:
    """An image file's bytes. `InputError` where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected an image file; got {error.strerror or error}. Check the path.") from error
