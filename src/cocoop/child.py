"""A process that never outlives the one that started it. Imports nothing heavy, so that this holds from its start."""

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection, wait


def serve(connection: Connection) -> None:
    """Take a function from the connection and call it with the connection; end at once when the parent process ends.

    To be the target of a process that was spawned. What the function needs is imported while the parent is watched.
    """
    end_with_parent()
    connection.recv()(connection)


def end_with_parent() -> None:
    """From now on this process, which was spawned, ends at once when its parent does, whatever it is doing."""
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
