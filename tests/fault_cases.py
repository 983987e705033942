"""Faults of the machine: what is put in the way of a command, what it says, and what it leaves.

`cli/test_faults.py` runs each row; `tools/fault_table.py` prints them as the table of docs/robustness.md. A new row
needs no code.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

Patch = pytest.MonkeyPatch
Injection = Callable[[Patch], None]


@dataclass(frozen=True)
class Fault:
    """A row.

    kind, where: of the fault, in words. command: in a folder with `photos`, a `run` learned from them, `features.npy`
    and an old `page.html`. inject: what puts the fault in the way. code: the exit code. said: part of the one line on
    stderr that says it. left: what is there afterwards that was not before, in words, and names: its names; all that
    was there before is as it was. again: what is added to the command, which then, without the fault, ends well; None
    where it is refused as before.
    """

    kind: str
    where: str
    command: str
    inject: Injection
    code: int
    said: str
    left: str = "nothing"
    names: frozenset[str] = frozenset()
    again: str | None = ""


def _writes(mode: str) -> bool:
    return not set(mode).isdisjoint("wxa+")


def _hits(path: Any, names: tuple[str, ...]) -> bool:
    place = os.path.abspath(path) if isinstance(path, str | os.PathLike) else ""
    return place.startswith(os.getcwd()) and any(name in place for name in names)


def full(*names: str) -> Injection:
    """A disk without room for files below the working directory with one of these texts in their path.

    The error is the kernel's own: the files appear, and what is written goes to /dev/full.
    """

    def inject(patch: Patch) -> None:
        opened = builtins.open

        def wrapped(path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
            if not (_writes(mode) and _hits(path, names)):
                return opened(path, mode, *more, **options)
            opened(path, mode, *more, **options).close()
            return opened("/dev/full", mode.replace("x", "w").replace("a", "w"), *more, **options)

        for module in (builtins, io):
            patch.setattr(module, "open", wrapped)

    return inject


def read_only(*names: str) -> Injection:
    """A file system that may only be read, as far as paths have one of these texts in them."""

    def inject(patch: Patch) -> None:
        def refusing(function: Callable[..., Any], makes: Callable[..., bool]) -> Callable[..., Any]:
            def wrapped(path: Any, *more: Any, **options: Any) -> Any:
                if _hits(path, names) and makes(path, *more):
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
                return function(path, *more, **options)

            return wrapped

        wrapped = refusing(builtins.open, lambda path, mode="r", *_: _writes(mode))
        for module in (builtins, io):
            patch.setattr(module, "open", wrapped)
        patch.setattr(os, "open", refusing(os.open, lambda path, flags, *_: bool(flags & (os.O_CREAT | os.O_WRONLY))))
        patch.setattr(os, "mkdir", refusing(os.mkdir, lambda path, *_: not os.path.lexists(path)))
        patch.setattr(os, "replace", refusing(os.replace, lambda *_: True))

    return inject


def limited(size: int) -> Injection:
    """No file may have more bytes, as a quota has it: for what libraries write that are not Python."""

    def inject(patch: Patch) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        _UNDO.append(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))

    return inject


_UNDO: list[Callable[[], None]] = []


@contextmanager
def injected(fault: Fault, patch: Patch) -> Iterator[None]:
    """The fault is in the way inside."""
    with patch.context() as inner:
        fault.inject(inner)
        try:
            yield
        finally:
            while _UNDO:
                _UNDO.pop()()


def rights(patch: Patch) -> None:
    """A folder that this user may not write in; the superuser may anywhere."""
    patch.setattr(os, "access", lambda path, mode, **_: mode == os.R_OK or not _hits(path, ("locked",)))


def memory(patch: Patch) -> None:
    """A step that asks for more memory than there is: torch's own error."""
    patch.setattr("cocoop.training.step.Step.__call__", lambda *_: torch.empty(2**55))


def clock(patch: Patch) -> None:
    """A clock that jumps a year back and forth at each look."""
    now = [1e9]

    def jumping() -> float:
        now.append(-now[-1] + 2e9 + 3e7)
        return now[-1]

    patch.setattr("time.time", jumping)


def out_of_memory_killer(patch: Patch) -> None:
    """Each process of a benchmark is killed as soon as it begins."""
    from cocoop.protocols import workers

    started = workers._Worker.__init__

    def killed(self: Any, *arguments: Any) -> None:
        started(self, *arguments)
        os.kill(self.process.pid, signal.SIGKILL)

    patch.setattr(workers._Worker, "__init__", killed)


def no_shared_memory(patch: Patch) -> None:
    """A container without /dev/shm, and images enough for processes."""
    patch.setattr("cocoop.features.ahead._SHARED_MEMORY", Path("/nowhere"))
    patch.setattr("cocoop.features.ahead._IMAGES_PER_PROCESS", 1)
    patch.setattr("cocoop.features.ahead.usable_cpus", lambda: 4)
    patch.setattr("cocoop.features.ahead.from_processes", lambda *_: pytest.fail("processes without shared memory"))


def nowhere_to_print(patch: Patch) -> None:
    """`> /dev/full`."""
    patch.setattr("sys.stdout", open("/dev/full", "w"))  # noqa: SIM115


def nowhere_to_note(patch: Patch) -> None:
    """`2> /dev/full`."""
    patch.setattr("sys.stderr", open("/dev/full", "w"))  # noqa: SIM115


def nothing(patch: Patch) -> None:
    """The command itself asks for what cannot be."""


TRAIN = "train photos --shots 2 --epochs 2 --lr 0.1 --device cpu --out"
PREDICT = "predict run photos --device cpu"
EMBED = "embed photos --clip tiny --device cpu --out"
BENCHMARK = "benchmark few-shot --datasets photos --methods coop --shots 1 --seeds 1 --epochs 2 --device cpu --out"
ROOM, READ, LARGE = "No space left on device", "Read-only file system", "File too large"
NOTHING = frozenset[str]()
KEPT = "the learned tensors, and the training's state: the same command ends without training"
BEFORE = "nothing: it is known before the training"
ROWS = "the rows before, all whole: the same command with `--resume` ends"

FAULTS = [
    Fault(
        "disk full",
        "the first file of a run folder",
        f"{TRAIN} new",
        full("/.config.json."),
        1,
        f"new/config.json: expected to write a file; got {ROOM}",
        KEPT,
        frozenset({".new.state", "new.learned.safetensors"}),
    ),
    Fault(
        "disk full",
        "the last file of a run folder",
        f"{TRAIN} new",
        full("/.record.json."),
        1,
        f"new/record.json: expected to write a file; got {ROOM}",
        KEPT,
        frozenset({".new.state", "new.learned.safetensors"}),
    ),
    Fault(
        "disk full",
        "the state of a training",
        f"{TRAIN} new",
        full("/..new.state."),
        0,
        f"the training goes on, but its state is not kept: .new.state: expected to write tensors; got {ROOM}",
        "the run",
        frozenset({"new"}),
        None,
    ),
    Fault("disk full", "all of it, before a training", f"{TRAIN} new", full(""), 2, f"got {ROOM} below", BEFORE),
    Fault(
        "disk full",
        "image features",
        f"{TRAIN} new --feature-cache cache",
        full("/cache/"),
        1,
        f"expected to write image features; got {ROOM}",
        "the empty folder of the cache",
        frozenset({"cache"}),
    ),
    Fault(
        "disk full",
        "a record that gets a temperature",
        "evaluate run more --calibrate --device cpu",
        full("/.record.json."),
        1,
        f"run/record.json: expected to write a file; got {ROOM}",
    ),
    Fault(
        "disk full",
        "a record of a benchmark",
        f"{BENCHMARK} trials",
        full("/.record.json."),
        1,
        f"seed-1/record.json: expected to write a file; got {ROOM}",
        "the state of the run: the same command ends without training",
        frozenset({"trials"}),
    ),
    Fault(
        "disk full",
        "a page that takes the place of one",
        "report run --out page.html",
        full("/.page.html."),
        1,
        f"page.html: expected to write a file; got {ROOM}",
        "the page before",
    ),
    Fault(
        "disk full",
        "predictions, CSV",
        f"{PREDICT} --out rows.csv",
        limited(400),
        1,
        f"rows.csv: expected to write the results; got {LARGE}",
        ROWS,
        frozenset({"rows.csv"}),
        "--resume",
    ),
    Fault(
        "disk full",
        "predictions, JSON lines",
        f"{PREDICT} --out rows.jsonl",
        limited(400),
        1,
        f"rows.jsonl: expected to write the results; got {LARGE}",
        ROWS,
        frozenset({"rows.jsonl"}),
        "--resume",
    ),
    Fault(
        "disk full",
        "predictions, Parquet",
        f"{PREDICT} --out rows.parquet --embeddings",
        limited(400),
        1,
        f"rows.parquet: expected to write the results; got {LARGE}",
    ),
    Fault(
        "disk full",
        "features, npy",
        f"{EMBED} new.npy",
        full("/.new.npy."),
        1,
        f"new.npy: expected to write the features; got {ROOM}",
    ),
    Fault(
        "disk full",
        "names of features",
        f"{EMBED} new.npy",
        full("/.new.npy.keys.jsonl."),
        1,
        f"new.npy.keys.jsonl: expected to write the features' names; got {ROOM}",
    ),
    Fault(
        "disk full",
        "features, Parquet",
        f"{EMBED} new.parquet",
        limited(400),
        1,
        f"new.parquet: expected to write the results; got {LARGE}",
    ),
    Fault(
        "disk full",
        "an exported head",
        "export run --to safetensors-head --out model",
        limited(1000),
        1,
        f"expected to write tensors; got {LARGE}",
    ),
    Fault(
        "disk full",
        "an exported program",
        "export run --to torch-export --features --out model",
        limited(1000),
        1,
        "model: expected to write an exported model; got ",
    ),
    Fault(
        "disk full",
        "an exported ONNX model",
        "export run --to onnx --features --out model",
        limited(1000),
        1,
        f"model: expected to write an exported model; got {LARGE}",
    ),
    Fault(
        "disk full",
        "a miniature of a data set",
        "datasets sample eurosat --data-root small",
        limited(1000),
        1,
        f"expected to write a folder of small images; got {LARGE}",
        "the empty data root",
        frozenset({"small"}),
    ),
    Fault(
        "disk full",
        "what a command prints",
        PREDICT,
        nowhere_to_print,
        1,
        f"stdout: expected to print the results; got {ROOM}",
    ),
    Fault(
        "disk full",
        "what a command says beside its results",
        PREDICT,
        nowhere_to_note,
        0,
        "",
        "the results, printed",
        NOTHING,
        None,
    ),
    Fault("read-only", "the place of a run folder", f"{TRAIN} new", read_only(""), 2, f"got {READ} below", BEFORE),
    Fault(
        "read-only",
        "a run folder, from the training on",
        f"{TRAIN} new",
        read_only("/..new.state.", "/.config.json."),
        1,
        f"new/config.json: expected to write a file; got {READ}",
        "the learned tensors",
        frozenset({"new.learned.safetensors"}),
    ),
    Fault(
        "read-only",
        "image features",
        f"{TRAIN} new --feature-cache cache",
        read_only("/cache"),
        1,
        f"expected to write image features; got {READ}",
    ),
    Fault(
        "read-only",
        "a record that gets a temperature",
        "evaluate run more --calibrate --device cpu",
        read_only("/run/"),
        1,
        f"run/record.json: expected to write a record; got {READ}",
    ),
    Fault("read-only", "a benchmark", f"{BENCHMARK} trials", read_only("/trials"), 2, f"got {READ}"),
    Fault(
        "read-only",
        "a page",
        "report run --out page.html",
        read_only(".page.html."),
        2,
        f"page.html: expected a file to write; it cannot be written ({READ})",
        "the page before",
    ),
    Fault(
        "read-only",
        "predictions",
        f"{PREDICT} --out rows.csv",
        read_only("rows.csv"),
        1,
        f"rows.csv: expected to write the results; got {READ}",
    ),
    Fault(
        "read-only",
        "features",
        f"{EMBED} new.npy",
        read_only("new.npy"),
        1,
        f"new.npy: expected to write the features; got {READ}",
    ),
    Fault(
        "no rights",
        "the folder of a run folder",
        f"{TRAIN} locked/new",
        rights,
        2,
        "locked is a folder without the right to write",
        BEFORE,
    ),
    Fault("a place that cannot be", "a device", f"{TRAIN} /dev/null", nothing, 2, "it exists", BEFORE, again=None),
    Fault(
        "a place that cannot be",
        "a name of 240 characters",
        f"{TRAIN} {'n' * 240}",
        nothing,
        2,
        "File name too long",
        BEFORE,
        again=None,
    ),
    Fault(
        "a place that cannot be",
        "a name of 300 characters",
        f"{TRAIN} {'n' * 300}",
        nothing,
        2,
        "File name too long",
        BEFORE,
        again=None,
    ),
    Fault(
        "a place that cannot be",
        "a link into nothing that may not be made",
        f"{TRAIN} dangling",
        nothing,
        2,
        "below /proc",
        BEFORE,
        again=None,
    ),
    Fault(
        "no memory",
        "a step of a training",
        f"{TRAIN} new",
        memory,
        1,
        "memory: expected enough of it for this command; got RuntimeError",
    ),
    Fault(
        "killed for memory",
        "the processes of a benchmark",
        f"{BENCHMARK} trials --jobs 2",
        out_of_memory_killer,
        1,
        "its process was killed (exit code -9), perhaps for want of memory",
        "what is done: the same command goes on",
        frozenset({"trials"}),
    ),
    Fault(
        "no shared memory",
        "a container without /dev/shm",
        f"{TRAIN} new",
        no_shared_memory,
        0,
        "",
        "the run; threads decode",
        frozenset({"new"}),
        None,
    ),
    Fault(
        "a clock that jumps",
        "by a year, back and forth",
        f"{TRAIN} new --feature-cache cache",
        clock,
        0,
        "",
        "the run",
        frozenset({"new", "cache"}),
        None,
    ),
]
