"""`cocoop plan`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.cli.common import AsJson, Device, Dtype, print_json
from cocoop.errors import InputError, expect_choice

if TYPE_CHECKING:
    from cocoop.bench import Plan, Rates, TextSide
    from cocoop.clip import CLIP

Images = Annotated[str, typer.Argument(metavar="N_IMAGES", help="How many pictures: 500, 1_000_000 or 1e9.")]
Sizes = Annotated[
    str,
    typer.Option(
        "--clip",
        metavar="CLIP",
        help="tiny, ViT-B/32, ViT-B/16, ViT-L/14 or ViT-L/14@336, for a CLIP of its sizes with random weights, without "
        "a download; or any CLIP that `info` takes, whose sizes are taken.",
    ),
]
Way = Annotated[
    str,
    typer.Option(
        metavar="features|zero-shot|exact|tangent",
        help="What is done with a picture: embed it; or classify it by prompts that are the same for all, as "
        "zero-shot's and CoOp's are, by CoCoOp's exact prompts, or by its tangent prompts.",
    ),
]
Classes = Annotated[int, typer.Option("--class-count", metavar="K", help="Classes to classify into.")]
Cpus = Annotated[int | None, typer.Option(metavar="N", help="Cores in all, like those here. Default: those here.")]
Gpus = Annotated[int, typer.Option(metavar="N", help="GPUs in all; 0 leaves all to the CPUs.")]
Tflops = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="TFLOP/s that each GPU is assumed to reach; needed where there is no GPU to measure."
    ),
]
Sample = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="A folder with pictures like yours, of which 32 are decoded. Default: drawn ones."
    ),
]


def plan(
    images: Images,
    clip: Sizes = "ViT-B/16",
    way: Way = "features",
    class_count: Classes = 1000,
    cpus: Cpus = None,
    gpus: Gpus = 0,
    tflops: Tflops = None,
    sample: Sample = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Estimate how long so many pictures take, and what they wait for, from rates that are measured here in a minute.

    Decoding, the image tower, the text side and writing are timed and multiplied. What is assumed is said beside each
    figure. Reading the files and starting are left out.

    Examples:
      cocoop plan 1e6 --clip ViT-B/32
      cocoop plan 1e9 --way tangent --gpus 8 --tflops 350 --cpus 256
      cocoop plan 200000 --way exact --class-count 100 --sample photos/ --json
    """
    from cocoop.bench import WAYS, check_gpus, measure_rates, measure_text
    from cocoop.bench import plan as planned
    from cocoop.features import usable_cpus

    expect_choice("--way", way, WAYS)
    count = _count(images)
    if class_count < 2:
        raise InputError(f"--class-count: expected 2 or more; got {class_count}.")
    pictures = _pictures(sample)
    model = _clip(clip, device, dtype)
    check_gpus(gpus, tflops, model.device.type != "cpu")
    rates, [side] = measure_rates(model, pictures), measure_text(model, [way], class_count)
    result = planned(count, rates, side, usable_cpus() if cpus is None else cpus, gpus, tflops)
    if as_json:
        print_json(_told(result, rates, side, drawn=sample is None))
        return
    _print(result, side, clip, drawn=sample is None)


def _count(given: str) -> int:
    try:
        number = float(given.replace("_", ""))
        if number >= 1 and number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise InputError(f"N_IMAGES: expected a whole number of 1 or more, such as 500 or 1e9; got {given!r}.")


def _clip(name: str, device: str, dtype: str) -> CLIP:
    from cocoop.bench import SHAPES, random_clip, shape_of
    from cocoop.clip import CLIP

    shape = SHAPES[name] if name in SHAPES else shape_of(CLIP.load(name, device="cpu"))
    return random_clip(shape, device, dtype)


def _pictures(folder: Path | None) -> list[bytes]:
    from cocoop.bench import photographs
    from cocoop.data import IMAGE_SUFFIXES

    if folder is None:
        return photographs()
    files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    pictures = [path.read_bytes() for path, _ in zip(files, range(256), strict=False)]
    if not pictures:
        raise InputError(f"--sample: expected a folder with pictures; {folder} has none.")
    return pictures


def _told(result: Plan, rates: Rates, side: TextSide, drawn: bool) -> dict[str, Any]:
    facts = {"seconds": result.seconds, "bottleneck": result.bottleneck.name, "busy_seconds": result.busy}
    return asdict(result) | facts | {"rates": asdict(rates), "text_side": asdict(side), "sample_drawn": drawn}


def _print(result: Plan, side: TextSide, clip: str, drawn: bool) -> None:
    from cocoop.progress import duration
    from cocoop.reports import text_table

    classes = f", {side.classes:,} classes" if side.classes else ""
    print(f"{result.images:,} pictures, {clip}, {side.way}{classes}\n")
    rows = [
        [part.name, part.on, f"{result.images / part.seconds:,.0f}", duration(part.seconds), part.source]
        for part in result.parts
        if part.seconds
    ]
    print(text_table(["part", "on", "pictures/s", "takes", "rate"], rows))
    longest = result.bottleneck
    print(f"\nabout {duration(result.seconds)}; the bottleneck is the {longest.name}, on the {longest.on}")
    whose = "drawn JPEGs of 500 x 375 pixels; --sample takes yours" if drawn else "those of --sample"
    print(f"to read: {_size(result.pictures_bytes)}, not in the plan (pictures: {whose})")
    print(f"float16 features: {_size(result.features_bytes)}")
    if side.making_s:
        print(f"once, not in the plan: {duration(side.making_s)} to make tangent prompts")


def _size(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e6:,.1f} MB"
