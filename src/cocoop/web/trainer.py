"""Learning again from what people labelled on the page: one training at a time, beside the answers."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cocoop.errors import CocoopError, InputError, RunError, reason
from cocoop.progress import is_quiet
from cocoop.web.models import Models, ServedRun
from cocoop.web.training import Training, learn
from cocoop.workers import started

_NOT_AGAIN = {"shots": None, "keep": "last", "patience": None, "search": False}
"""Of a run's parameters those that a few labelled pictures have no use for, or that take held-out ones."""

_TICK = 0.1  # seconds between two looks at whether it is to end
_PATIENCE = 5.0  # seconds for its end
_LEARNED = re.compile(r"-learned(-\d+)?$")


@dataclass
class Learning:
    """How a training goes.

    state: "learning", "done" or "failed". run: the one it is of. pictures: how many it learns from. epoch, epochs: done
    of how many. seconds: since it began. learned: the name of the new run. error: why it failed.
    """

    state: str
    run: str
    pictures: int
    epoch: int = 0
    epochs: int | None = None
    seconds: float = 0.0
    learned: str | None = None
    error: str | None = None


class Trainer:
    """Trains in a process of its own, so that answers go on, and a training can be ended.

    Args:
        models: where the new runs go. `call`: calls a function in the thread that uses them.
        seconds: after which a training is ended. most: how many runs are kept, of which the oldest gives way.
        threads: of a training. plugins: files that register methods.
    """

    def __init__(
        self,
        models: Models,
        call: Callable[[Callable[[], ServedRun]], ServedRun],
        seconds: float,
        most: int,
        threads: int,
        plugins: Sequence[Path] = (),
    ) -> None:
        self._models, self._call, self._seconds, self._most = models, call, seconds, most
        self._threads, self._plugins = threads, tuple(plugins)
        self._folder = Path(tempfile.mkdtemp(prefix="cocoop-serve-"))
        self._stopped = threading.Event()
        self._learning: Learning | None = None
        self._thread: threading.Thread | None = None
        self._began, self._count, self._lock = 0.0, 0, threading.Lock()

    def begin(
        self, run: ServedRun, classes: Sequence[str], pictures: Sequence[tuple[str, bytes]], labels: Sequence[str]
    ) -> None:
        """Begin to learn, as the run was learned, from pictures [N] with a label each of the classes [K].

        Raises:
            InputError: another training is under way, the run cannot be learned again, or a label is no class.
        """
        parameters = self._parameters(run)
        unknown = [label for label in labels if label not in classes]
        if unknown or len(labels) != len(pictures) or len(set(labels)) < 2:
            raise InputError(
                f"label: expected one of the {len(classes)} classes for each picture, and pictures of two classes or "
                f"more; got {len(pictures)} pictures and {len(set(labels))} classes"
                f"{f', among them {unknown[0]!r}' if unknown else ''}. Label more of them."
            )
        with self._lock:
            if self._learning is not None and self._learning.state == "learning":
                raise InputError("learn: expected no other training at the same time; one is under way. Wait for it.")
            self._learning, self._began = Learning("learning", run.name, len(pictures)), time.monotonic()
            self._stopped.clear()
            self._count += 1
            name = _LEARNED.sub("", run.name).rpartition("/")[2]  # without the owner of a run of the hub
            out = self._folder / str(self._count) / f"{name}-learned"
        numbers = tuple([*classes].index(label) for label in labels)
        training = Training(
            parameters, tuple(classes), tuple(pictures), numbers, out, self._threads, self._plugins, is_quiet()
        )
        self._thread = threading.Thread(target=self._train, args=(training,), name="trainer", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any] | None:
        """The last `Learning`, as a dict; None where there was none."""
        learning = self._learning
        if learning is None:
            return None
        if learning.state == "learning":
            self._count_seconds(learning)
        return asdict(learning)

    def stop(self) -> None:
        """End the training that is under way, if there is one."""
        self._stopped.set()

    def close(self) -> None:
        """End it, and delete what was learned."""
        self.stop()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _parameters(self, run: ServedRun) -> dict[str, Any]:
        if run.parameters is None:
            raise InputError(f"{run.name}: expected a run folder to learn again; got an exported model. Serve the run.")
        if not run.learns:
            raise InputError(f"{run.name}: expected a method that learns; {run.method} learns nothing. Serve another.")
        kept = asdict(run.parameters) | _NOT_AGAIN | self._models.machine
        kept["seed"] = 1 if kept["seed"] is None else kept["seed"]  # of an imported prompt
        return kept | dict(zip(("clip", "tokenizer"), self._models.place_of(run.parameters), strict=True))

    def _count_seconds(self, learning: Learning) -> None:
        learning.seconds = round(time.monotonic() - self._began, 1)

    def _train(self, training: Training) -> None:
        learning = self._learning
        assert learning is not None
        try:
            self._learn(training, learning)
            run = self._call(lambda: self._add(training.out))
        except Exception as error:
            self._count_seconds(learning)
            unforeseen = f"learning: expected to end with a run; got {reason(error)}. Begin again."
            learning.error = str(error) if isinstance(error, CocoopError) else unforeseen
            learning.state = "failed"
            shutil.rmtree(training.out.parent, ignore_errors=True)
        else:
            self._count_seconds(learning)  # whether or not somebody has asked meanwhile
            learning.learned, learning.state = run.name, "done"

    def _learn(self, training: Training, learning: Learning) -> None:
        """Wait for the process. `RunError` where it fails, is ended, or takes too long."""
        process, connection = started(partial(learn, training))
        with connection:
            try:
                self._follow(connection, learning)
            except (EOFError, OSError) as error:
                raise RunError(
                    "learning: expected to end with a run; its process was killed, perhaps for want of "
                    "memory. Begin again."
                ) from error
            finally:
                process.kill()
                process.join()

    def _follow(self, connection: Connection, learning: Learning) -> None:
        """Take what it tells, until that is that it is done."""
        while time.monotonic() < self._began + self._seconds:
            if self._stopped.is_set():
                raise RunError("learning: expected to end with a run; somebody stopped it. Begin again.")
            if not connection.poll(_TICK):
                continue
            told = connection.recv()
            if told is None:
                return
            if isinstance(told, str):
                raise RunError(told)
            learning.epoch, learning.epochs = told
        raise RunError(
            f"learning: expected to end within {self._seconds:g} seconds; it did not. Label fewer pictures, or take "
            "fewer classes."
        )

    def _add(self, folder: Path) -> ServedRun:
        run = self._models.add(folder, learned=True)
        learned = [name for name, other in self._models.runs.items() if other.learned]
        for name in learned[: -self._most]:
            self._models.drop(name)
        return run
