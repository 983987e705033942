"""`cocoop bench`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from cocoop.cli.common import AsJson, Device, Dtype, print_json, split_numbers
from cocoop.errors import InputError

CLASSES = (10, 100, 1000)
BATCH_SIZES = (1, 8, 32)

Shape = Annotated[
    str,
    typer.Option(metavar="tiny|ViT-B/32|ViT-B/16|ViT-L/14|ViT-L/14@336", help="Whose sizes."),
]
ClassCounts = Annotated[
    list[str] | None, typer.Option(metavar="K,K,...", help="Numbers of classes. Default: 10,100,1000.")
]
BatchSizes = Annotated[list[str] | None, typer.Option(metavar="B,B,...", help="Images at a time. Default: 1,8,32.")]
Predict = Annotated[
    bool, typer.Option("--predict", help="Measure what a picture takes until it is predicted, and nothing else.")
]
Rounds = Annotated[int, typer.Option(help="Turns of each work; the best counts. Fewer where they take over a minute.")]


def bench(
    shape: Shape = "ViT-B/16",
    class_counts: ClassCounts = None,
    batch_sizes: BatchSizes = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    rounds: Rounds = 5,
    predict: Predict = False,
    as_json: AsJson = False,
) -> None:
    """Measure both towers on this machine: the image tower beside its floor, CoCoOp's text side beside the original's
    way, too, and what an image takes by exact and by tangent inference.

    Random weights, no download; class names as long as ImageNet's. plain: every prompt at full length, one image at a
    time. ours: the same features by the packed path. The floor: the matrix products that no exact method can do
    without, and nothing else. They take turns. Two CPU cores need half an hour for all of the defaults.

    Examples:
      cocoop bench --class-counts 100 --batch-sizes 1
      cocoop bench --shape ViT-L/14 --class-counts 100 --dtype bfloat16 --json
      cocoop bench --device cuda --dtype bfloat16 --class-counts 1000 --batch-sizes 1,32
      cocoop bench --predict --class-counts 100
    """
    from cocoop.bench import (
        CELL_HEADER,
        IMAGE_HEADER,
        INFERENCE_HEADER,
        TRAINING_HEADER,
        cell_rows,
        image_rows,
        inference_rows,
        remarks,
        summary,
        training_rows,
    )
    from cocoop.bench import bench as measure
    from cocoop.reports import text_table

    counts, images = split_numbers("--class-counts", class_counts), split_numbers("--batch-sizes", batch_sizes)
    if predict:
        _rates(shape, counts or CLASSES, device, dtype, rounds, as_json)
        return
    result = measure(shape, counts or CLASSES, images or BATCH_SIZES, device, dtype, rounds)
    if as_json:
        print_json(result.as_dict())
        return
    print(f"{summary(result)}\n")
    print("the image tower, pixels to features:\n")
    print(f"{text_table(IMAGE_HEADER, image_rows(result.image_tower))}\n")
    print("the text tower, text features of CoCoOp's prompts:\n")
    print(f"{text_table(CELL_HEADER, cell_rows(result.cells))}\n")
    print("a training image, features given: CoCoOp's step, and CoOp's of 32 images on the plain path / 32:\n")
    print(f"{text_table(TRAINING_HEADER, training_rows(result.training))}\n")
    print("an image's way to its class: the image tower, and then one of the ways to CoCoOp's probabilities:\n")
    print(f"{text_table(INFERENCE_HEADER, inference_rows(result.inference))}\n")
    for remark in remarks(result):
        print(remark)


def _rates(shape: str, counts: Sequence[int], device: str, dtype: str, rounds: int, as_json: bool) -> None:
    """What `cocoop plan` reckons with."""
    from cocoop.bench import RATES_HEADER, WAYS, measure_rates, measure_text, photographs, random_clip, rates_rows
    from cocoop.reports import text_table

    if min(counts) < 2 or rounds < 1:
        raise InputError(f"bench: expected 2 classes or more, and 1 round or more; got {min(counts)} and {rounds}.")
    clip = random_clip(shape, device, dtype)
    rates = measure_rates(clip, photographs(), rounds=rounds)
    sides = [side for count in counts for side in measure_text(clip, WAYS[1:], count, rounds)]
    if as_json:
        print_json({"shape": shape, "rates": asdict(rates), "text_sides": [asdict(side) for side in sides]})
        return
    print(f"{shape}, random weights, {rates.dtype}; pictures: drawn JPEGs of 500 x 375 pixels\n")
    print(text_table(RATES_HEADER, rates_rows(rates, sides)))
