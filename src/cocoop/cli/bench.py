"""`cocoop bench`."""

from typing import Annotated

import typer

from cocoop.cli.common import AsJson, Device, Dtype, print_json

CLASSES = [10, 100, 1000]
IMAGES = [1, 8, 32]

Shape = Annotated[str, typer.Option(help="tiny, ViT-B/32, ViT-B/16, ViT-L/14 or ViT-L/14@336.")]
ClassCounts = Annotated[list[int] | None, typer.Option(metavar="K", help="Give several; default: 10, 100 and 1000.")]
ImageCounts = Annotated[
    list[int] | None, typer.Option(metavar="B", help="Images at a time; give several; default: 1, 8 and 32.")
]
Rounds = Annotated[int, typer.Option(help="Turns of each work; the best counts. Fewer where they take over a minute.")]


def bench(
    shape: Shape = "ViT-B/16",
    classes: ClassCounts = None,
    images: ImageCounts = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    rounds: Rounds = 5,
    as_json: AsJson = False,
) -> None:
    """Measure the text side of CoCoOp on this machine, beside the original's way and beside the floor.

    Random weights, no download; class names as long as ImageNet's. plain: every prompt at full length, one image at a
    time. ours: the same features by the packed path. The floor: the matrix products that no exact method can do
    without, and nothing else. They take turns. Two CPU cores need half an hour for all of the defaults.

    Examples:
      cocoop bench --classes 100 --images 1
      cocoop bench --shape ViT-L/14 --classes 100 --dtype bfloat16 --json
      cocoop bench --device cuda --dtype bfloat16 --classes 1000 --images 1 --images 32
    """
    from cocoop.bench import CELL_HEADER, TRAINING_HEADER, cell_rows, remarks, summary, training_rows
    from cocoop.bench import bench as measure
    from cocoop.reports import text_table

    result = measure(shape, classes or CLASSES, images or IMAGES, device, dtype, rounds)
    if as_json:
        print_json(result.as_dict())
        return
    print(f"{summary(result)}\n")
    print(f"{text_table(CELL_HEADER, cell_rows(result.cells))}\n")
    print("a training image, features given: CoCoOp's step, and CoOp's of 32 images on the plain path / 32:\n")
    print(f"{text_table(TRAINING_HEADER, training_rows(result.training))}\n")
    for remark in remarks(result):
        print(remark)
