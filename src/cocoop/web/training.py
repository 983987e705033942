"""What a process of its own learns: from pictures that somebody labelled, as a run was learned."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

from cocoop.callbacks import Callback
from cocoop.classifier import Classifier
from cocoop.data import open_image
from cocoop.errors import CocoopError, reason
from cocoop.methods.plugins import load_plugins
from cocoop.results import Epoch
from cocoop.workers import behave


class Training(NamedTuple):
    """All that a training takes.

    parameters: of `Classifier`, by name. classes: [K]. pictures: [N] names and the bytes of the files. labels: [N]
    numbers of the classes. out: the run folder to write.
    """

    parameters: dict[str, Any]
    classes: tuple[str, ...]
    pictures: tuple[tuple[str, bytes], ...]
    labels: tuple[int, ...]
    out: Path
    threads: int
    plugins: tuple[Path, ...]
    quiet: bool


class Progress(NamedTuple):
    """How far it is: epochs that are done, of how many; None where nothing is trained step by step."""

    epoch: int
    epochs: int | None


class _Told(Callback):
    def __init__(self, connection: Connection) -> None:
        self._connection, self._epochs = connection, None

    def on_fit_begin(self, facts: Mapping[str, Any]) -> None:
        self._epochs = facts.get("epochs")
        self._connection.send(Progress(0, self._epochs))

    def on_epoch_end(self, epoch: Epoch) -> None:
        self._connection.send(Progress(epoch.epoch + 1, self._epochs))


def learn(training: Training, connection: Connection) -> None:
    """Learn and write the run folder; tells its `Progress`, and at the end None, or why it failed."""
    behave(training.threads, training.quiet)
    try:
        _learn(training, _Told(connection))
    except CocoopError as error:
        connection.send(str(error))
    except Exception as error:  # of a plugin, or no memory left
        connection.send(f"learning: expected to end with a run; got {reason(error)}. Label other pictures.")
    else:
        connection.send(None)


def _learn(training: Training, told: Callback) -> None:
    load_plugins(training.plugins)
    exif = training.parameters["exif"]
    images = [open_image(name, content, exif) for name, content in training.pictures]
    classifier = Classifier(**training.parameters)
    classifier.fit(images, training.labels, training.classes, callbacks=[told])
    classifier.save(training.out)


def zipped(folder: Path) -> bytes:
    """A run folder as a zip archive, in memory."""
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"{folder.name}/{path.name}")
    return archive.getvalue()
