"""What a kind of files is for the fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Kind(NamedTuple):
    """Files that are read together.

    make: writes whole ones, as this package or another program does, into the sub-folders of a folder; one of them is
    taken for each case, and one of its files is mutated. read: does with such a sub-folder what a user would, and lets
    every error out. spared: endings of files that are left as they are.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], None]
    spared: tuple[str, ...] = ("\0",)
