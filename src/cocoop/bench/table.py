"""The figures as rows of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cocoop.bench.images import ImageCell
from cocoop.bench.inference import REFINED, SHORTLIST, InferenceCell
from cocoop.bench.measure import Cell
from cocoop.bench.rates import Rates, TextSide
from cocoop.bench.run import Bench
from cocoop.bench.training import IMAGENET_STEPS, TrainingImage
from cocoop.progress import duration

CELL_HEADER = (
    "classes",
    "images",
    "pass",
    "plain, ms",
    "ours, ms",
    "plain / ours",
    "ours / floor",
    "GFLOP/s",
    "plain, MB",
    "ours, MB",
    "plain / ours",
)
TRAINING_HEADER = ("classes", "CoCoOp, ms", "CoOp, ms", "CoCoOp / CoOp", "CoCoOp / floor", "GFLOP/s")
RATES_HEADER = ("part", "a picture, ms", "pictures/s", "on")
IMAGE_HEADER = ("images", "ours, ms", "images/s", "ours / floor", "GFLOP/s")
INFERENCE_HEADER = (
    "classes",
    "image tower, ms",
    "exact, ms",
    f"shortlist of {SHORTLIST}, ms",
    "tangent, ms",
    "tangent / tower",
    "made in, s",
    "kept, MB",
    "pays from, images",
)


def cell_rows(cells: Sequence[Cell]) -> list[list[str]]:
    """One row per cell, under `CELL_HEADER`. Unknown memory is "-"."""
    return [
        [
            f"{cell.classes:,}",
            str(cell.images),
            cell.passes,
            _figure(cell.plain_ms),
            _figure(cell.ours_ms),
            _figure(cell.times_faster),
            f"{cell.times_floor:.2f}",
            _figure(cell.floor_gflops),
            _figure(cell.plain_peak_mb),
            _figure(cell.ours_peak_mb),
            _figure(cell.times_less_memory),
        ]
        for cell in cells
    ]


def training_rows(training: Sequence[TrainingImage]) -> list[list[str]]:
    """One row per number of classes, under `TRAINING_HEADER`."""
    return [
        [
            f"{image.classes:,}",
            _figure(image.cocoop_ms),
            _figure(image.coop_ms),
            f"{image.times_coop:.2f}",
            f"{image.times_floor:.2f}",
            _figure(image.floor_gflops),
        ]
        for image in training
    ]


def image_rows(image_tower: Sequence[ImageCell]) -> list[list[str]]:
    """One row per number of images, under `IMAGE_HEADER`."""
    return [
        [
            str(cell.images),
            _figure(cell.ours_ms),
            _figure(cell.images_per_second),
            f"{cell.times_floor:.2f}",
            _figure(cell.floor_gflops),
        ]
        for cell in image_tower
    ]


def inference_rows(inference: Sequence[InferenceCell]) -> list[list[str]]:
    """One row per number of classes, under `INFERENCE_HEADER`. Where tangent prompts never pay, "-"."""
    return [
        [
            f"{cell.classes:,}",
            *(_figure(ms) for ms in (cell.tower_ms, cell.exact_ms, cell.shortlist_ms, cell.tangent_ms)),
            f"{cell.tangent_of_tower:.2%}",
            *(_figure(number) for number in (cell.making_s, cell.kept_mb, cell.pays_from)),
        ]
        for cell in inference
    ]


def rates_rows(rates: Rates, sides: Sequence[TextSide]) -> list[list[str]]:
    """One row per part of a prediction, under `RATES_HEADER`."""
    on = f"{rates.device}, {rates.threads} threads" if rates.device == "cpu" else rates.device
    times = [("decoding", rates.decode_ms, "one core"), ("image tower", rates.tower_ms, on)]
    times += [(f"text side, {side.way}, {side.classes:,} classes", side.ms, on) for side in sides]
    times.append(("writing a float16 feature", rates.row_bytes / rates.write_mb_s / 1000, "the disk here"))
    return [[name, _small(ms), f"{1000 / ms:,.0f}", where] for name, ms, where in times]


def summary(result: Bench) -> str:
    """One line that says what was measured, and where."""
    threads = f", {result.threads} threads" if result.device == "cpu" else ""
    return f"towers of {result.shape}, random weights, {result.dtype}, {result.device}{threads}; per image"


def remarks(result: Bench) -> Iterator[str]:
    """Lines that explain the figures: scaling, the floor, and, at its K, the time of 16-shot ImageNet."""
    scaled = [cell for cell in result.cells if cell.plain_measured_classes < cell.classes]
    if scaled:
        few = scaled[0].plain_measured_classes
        yield f"plain: measured on {few} classes and scaled, time and memory, where there are more; one image at a time"
    yield "floor: the time of the matrix products alone; GFLOP/s: their rate. MB: the peak of a pass, without the model"
    yield f"tangent: {REFINED:.0%} of the images get exact logits of their first classes; the learned prompt decides it"
    for image in result.training:
        if image.imagenet_hours is not None:
            peak = image.cocoop_peak_mb
            memory = "" if peak is None else f", with {_figure(peak)} MB beside the model"
            yield (
                f"16-shot ImageNet, CoCoOp, {IMAGENET_STEPS:,} steps of {_figure(image.cocoop_ms)} ms: "
                f"{duration(3600 * image.imagenet_hours)}, at {1 / image.times_floor:.0%} of the matrix rate{memory}"
            )


def _small(ms: float) -> str:
    return f"{ms:.2g}" if ms < 1 else _figure(ms)


def _figure(value: float | None) -> str:
    """Three significant digits, or a whole number; "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"
