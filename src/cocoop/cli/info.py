"""`cocoop info`."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from cocoop.cli.common import AsJson, Device, Dtype, Tokenizer, print_json, split_numbers

CLASSES = (10, 100, 1000)

Model = Annotated[
    str,
    typer.Argument(
        help='What --clip of the other commands takes: "tiny", a hub id, ViT-B/16 and other names of OpenAI\'s, a '
        "folder, OpenAI's .pt archive, or an open_clip file.",
    ),
]
ClassCounts = Annotated[
    list[str] | None,
    typer.Option(metavar="K,K,...", help="For so many classes estimate the memory. Default: 10,100,1000."),
]


def info(
    model: Model,
    tokenizer: Tokenizer = None,
    class_counts: ClassCounts = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what a CLIP is: towers, sizes, parameters, transform, tokenizer, and the memory that K classes take.

    Memory is that of the text side for one image, estimated for CoCoOp with four context tokens and class names as long
    as ImageNet's. The image tower runs ahead of it and is not in it.

    Examples:
      cocoop info tiny
      cocoop info openai/clip-vit-base-patch16 --class-counts 37,397
      cocoop info RN50.pt --tokenizer openai/clip-vit-base-patch16 --json
    """
    from cocoop.clip import CLIP
    from cocoop.clip.describe import describe
    from cocoop.reports import text_table

    facts = describe(
        CLIP.load(model, tokenizer, device, dtype), split_numbers("--class-counts", class_counts) or CLASSES
    )
    if as_json:
        print_json(facts)
        return
    print(text_table(["fact", "value"], [*_rows(facts)]))
    print("\ntext side of one image, beside the weights, estimated:\n")
    memory = [
        [f"{row['classes']:,}", *(f"{row[name]:,.1f}" for name in ("predict_mb", "train_mb"))]
        for row in facts["memory"]
    ]
    print(text_table(["classes", "to predict, MB", "to learn, MB"], memory))


def _rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    parameters, transform, tokenizer = facts["parameters"], facts["transform"], facts["tokenizer"]
    millions = {name: f"{count / 1e6:,.1f}" for name, count in parameters.items()}
    yield "name", facts["name"]
    yield "read from", f"{facts['file']} ({facts['family']})"
    yield "text tower", _sizes(facts["text_tower"])
    yield "image tower", _sizes(facts["image_tower"])
    yield "joint width E", f"{facts['joint_width']:,}"
    yield "1/tau", f"{facts['logit_scale']:.2f}"
    yield "parameters", f"{millions['all']} million: text {millions['text']}, image {millions['image']}"
    yield "weights", f"{facts['weights_mb']:,.1f} MB, {facts['dtype']} on {facts['device']}"
    yield "transform", f"{transform['size']} px, {transform['resize_mode']}, {transform['interpolation']}"
    yield "  mean", _numbers(transform["mean"])
    yield "  std", _numbers(transform["std"])
    yield "tokenizer", _words(tokenizer)
    yield "fingerprint", facts["fingerprint"]
    yield "fast path", "yes (the text tower is causal and read at its end token)"


def _words(tokenizer: Mapping[str, Any]) -> str:
    size = "" if tokenizer["vocabulary"] is None else f", {tokenizer['vocabulary']:,} tokens"
    return f"{tokenizer['class']}{size}" + (f", from {tokenizer['source']}" if tokenizer["source"] else "")


def _sizes(tower: Mapping[str, Any]) -> str:
    sizes = [
        f"{name.replace('_', ' ')} {_size(value)}"
        for name, value in tower.items()
        if name not in ("kind", "joint_width")
    ]
    return f"{tower['kind']}: {', '.join(sizes)}"


def _size(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
