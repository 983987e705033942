"""What a form of an exported model is: a file's name, how it is made and written, and how it is read and run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from cocoop.errors import InputError, reason


class Opened(NamedTuple):
    """A model's file, ready to run. description: of its metadata, None where there is none. run: see `Form`."""

    description: str | None
    run: Callable[[Tensor], Tensor]


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """The logger of this name says nothing on stderr: what matters is in the error that is raised."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def extra_package(name: str) -> Any:
    """A package of the extra `onnx`. `InputError` where it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"onnx: expected the packages onnx, onnxscript and onnxruntime; got {reason(error)}. Install them: "
            "pip install 'cocoop[onnx]'."
        ) from error


class Form(NamedTuple):
    """A form.

    words: what it is called. file: its name in the folder. packages: of the extra `onnx`, which writing takes.
    pixels: whether it may hold the image tower, too.
    make: a module, the name of its input, and an example of it with two rows -> what `save` takes.
    save: that, the path, and the description for its metadata.
    read: the path -> the model, whose `run` takes a batch of any size [B, ...] float32 on the CPU and gives
    probabilities [B, K] float32.
    """

    words: str
    file: str
    packages: tuple[str, ...]
    pixels: bool
    make: Callable[[nn.Module, str, Tensor], Any]
    save: Callable[[Any, Path, str], None]
    read: Callable[[Path], Opened]
