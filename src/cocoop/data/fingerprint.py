"""The fingerprint of an image file, by which a training image is recognised wherever its file lies."""

import hashlib
from os import PathLike

from cocoop.data.images import read_bytes


def fingerprint(path: str | PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits. `ImageError` where it cannot be read."""
    return hashlib.sha256(read_bytes(path)).hexdigest()
