"""The plain path, the packed path and the floor side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cocoop.bench.clock import best_seconds, timed
from cocoop.bench.encoding import Encoding
from cocoop.bench.floor import BesideFloor, Floor
from cocoop.bench.memory import PASSES, peak_megabytes
from cocoop.bench.shapes import Shape
from cocoop.clip import CLIP
from cocoop.clip.text.typical import CONTEXT_LENGTH, suffix_lengths

PLAIN_AT_MOST = 100
"""The most classes measured on the plain path. Its cost is proportional to them: that of more is scaled."""


@dataclass(frozen=True)
class Cell(BesideFloor):
    """Text features of K classes for B images in one kind of pass. Times are milliseconds per image.

    Attributes:
        classes: K. images: B. passes: "forward" or "forward+backward". tokens: T, the suffix tokens of all classes.
        plain_measured_classes: on how many the plain path was measured; its figures are scaled from them to K.
        plain_ms: full-length prompts, one image at a time. ours_ms: packed, B images at a time.
        floor_ms: the matrix products alone; see `cocoop.bench.floor`.
        floor_multiply_adds: of these products, per image.
        plain_peak_mb, ours_peak_mb: memory at the peak of the pass, without the model, MB of 10^6 bytes; None where
            the system does not tell.
    """

    classes: int
    images: int
    passes: str
    tokens: int
    plain_measured_classes: int
    plain_ms: float
    ours_ms: float
    floor_ms: float
    floor_multiply_adds: int
    plain_peak_mb: float | None = None
    ours_peak_mb: float | None = None

    @property
    def times_faster(self) -> float:
        """The plain path's time as a multiple of ours."""
        return self.plain_ms / self.ours_ms

    @property
    def times_less_memory(self) -> float | None:
        """The plain path's peak as a multiple of ours."""
        if self.plain_peak_mb is None or not self.ours_peak_mb:
            return None
        return self.plain_peak_mb / self.ours_peak_mb


def measure_classes(
    clip: CLIP, classes: int, images: Sequence[int], rounds: int, done: Callable[[], object]
) -> Iterator[Cell]:
    """The times of all B and passes for one K, without memory.

    The plain path has one image at a time, so it is measured beside the first B only.

    Args:
        clip: what to measure.
        classes: K.
        images: values of B.
        rounds: of `best_seconds`.
        done: called after every cell.
    """
    few = min(classes, PLAIN_AT_MOST)
    plain_ms: dict[str, float] = {}
    for at_once in images:
        ours = Encoding(clip, classes, at_once)
        floor = Floor(clip, at_once, classes, sum(suffix_lengths(classes)), CONTEXT_LENGTH)
        for name, run in PASSES.items():
            floor_run = floor.forward if name == "forward" else floor.forward_and_backward
            works = {"ours": timed(partial(run, ours), clip.device)}
            works["floor"] = timed(floor_run, clip.device)
            if name not in plain_ms:
                works["plain"] = timed(partial(run, Encoding(clip, few, 1, plain=True)), clip.device)
            seconds = best_seconds(works, rounds)
            if "plain" in seconds:
                plain_ms[name] = 1000 * seconds["plain"] * classes / few
            yield Cell(
                classes=classes,
                images=at_once,
                passes=name,
                tokens=sum(suffix_lengths(classes)),
                plain_measured_classes=few,
                plain_ms=plain_ms[name],
                ours_ms=1000 * seconds["ours"] / at_once,
                floor_ms=1000 * seconds["floor"] / at_once,
                floor_multiply_adds=floor.multiply_adds // at_once * (1 if name == "forward" else 2),
            )
            done()


def with_memory(clip: CLIP, shape: Shape, dtype: str, cells: Sequence[Cell], done: Callable[[], object]) -> list[Cell]:
    """The cells of one K with their peaks of memory. The plain path's peak is scaled as its time is."""
    few, classes = cells[0].plain_measured_classes, cells[0].classes
    plain = peak_megabytes(clip, shape, dtype, few, 1, plain=True)
    done()
    ours = {}
    for at_once in dict.fromkeys(cell.images for cell in cells):
        ours[at_once] = peak_megabytes(clip, shape, dtype, classes, at_once, plain=False)
        done()
    scaled = {name: None if peak is None else peak * classes / few for name, peak in plain.items()}
    return [
        replace(cell, plain_peak_mb=scaled[cell.passes], ours_peak_mb=ours[cell.images][cell.passes]) for cell in cells
    ]
