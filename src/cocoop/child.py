"""A process that never outlives the one that started it. Imports nothing heavy, so that this holds from its start."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import ModuleType


def serve(connection: Connection) -> None:
    """Take a function from the connection and call it with the connection; end at once when the parent process ends.

    The target of a spawned process. It watches the parent even while it imports what the function needs.
    """
    end_with_parent()
    connection.recv()(connection)


@contextmanager
def main_left_alone() -> Iterator[None]:
    """Processes spawned inside do not import the user's script, which may do anything when imported."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def end_with_parent() -> None:
    """Make this spawned process end at once when its parent does, whatever it is doing."""
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
