"""Cases of one kind, one after the other, in a process that may crash."""

from __future__ import annotations

import shutil
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from .kind import Kind
from .mutate import mutate

MOST_MEMORY = 4 * 2**30
"""Bytes that a process may have beside those it begins with."""

_TRIED = 40  # whole ones, before the first damaged one


def work(connection: Connection, name: str, root: Path, seed: int, numbers: range) -> None:
    """Read some cases of a kind, whose whole files lie in `root`/whole; tell of each before and after.

    Sends (number, None), then (number, (`Outcome`, MB at the peak beside those it began with)); last None.
    """
    import torch

    from cocoop.results.record import peak_memory_mb, reset_peak_memory

    from . import watch
    from .kinds import KINDS

    torch.set_num_threads(1)
    kind = KINDS[name]
    place = root / f"case-{numbers.start}" / "sample"
    _try_whole_ones(kind, root, place)
    watch.begin(MOST_MEMORY)
    reset_peak_memory()
    before = peak_memory_mb() or 0.0
    for number in numbers:
        connection.send((number, None))
        case = put_case(name, kind, root, seed, number, place.parent)
        outcome = watch.watched(partial(kind.read, case))
        connection.send((number, (outcome, (peak_memory_mb() or 0.0) - before)))
    shutil.rmtree(place.parent, ignore_errors=True)
    connection.send(None)


def put_case(name: str, kind: Kind, root: Path, seed: int, number: int, place: Path) -> Path:
    """Write the mutated files of a case below `place`; where they are."""
    draw = Random(f"{name} {seed} {number}")
    shutil.rmtree(place, ignore_errors=True)
    whole = draw.choice([whole for whole in _samples(root) if _to_mutate(whole, kind)])
    case = place / whole.name
    shutil.copytree(whole, case, symlinks=True)
    for _ in range(draw.choice([1, 1, 1, 2])):
        path = case / draw.choice(_to_mutate(whole, kind))
        path.write_bytes(mutate(path.name, path.read_bytes(), draw))
    return case


@cache
def _to_mutate(whole: Path, kind: Kind) -> list[Path]:
    below = (path for path in whole.rglob("*") if path.is_file() and not path.name.endswith(kind.spared))
    return sorted(path.relative_to(whole) for path in below)


@cache
def _samples(root: Path) -> list[Path]:
    return sorted((root / "whole").iterdir())


def _try_whole_ones(kind: Kind, root: Path, place: Path) -> None:
    """What is not damaged is read. It also imports what reading takes."""
    samples = _samples(root)
    for whole in samples[:: max(1, len(samples) // _TRIED)]:
        case = place.parent / whole.name
        shutil.rmtree(place.parent, ignore_errors=True)
        shutil.copytree(whole, case)
        kind.read(case)
