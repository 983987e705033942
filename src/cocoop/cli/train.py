"""`cocoop train`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocoop.cli.common import (
    AsJson,
    Clip,
    DataRoot,
    Device,
    Dtype,
    Features,
    MemoryBudget,
    Source,
    Tokenizer,
    note,
    print_json,
)

if TYPE_CHECKING:
    from cocoop.classifier import Classifier
    from cocoop.data import Dataset
    from cocoop.training import DivergedError


def train(
    source: Source,
    out: Annotated[Path, typer.Option(help="The run folder to write; must be new.")],
    data_root: DataRoot = None,
    method: Annotated[str, typer.Option(help="cocoop, coop or zero-shot.")] = "cocoop",
    clip: Clip = "tiny",
    tokenizer: Tokenizer = None,
    shots: Annotated[int, typer.Option(help="Training images per class, picked by the seed.")] = 16,
    seed: Annotated[int, typer.Option(help="Any integer; the same seed gives the same run.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Default: the paper's, 10 for cocoop, 200 for coop.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Default: the paper's, 1 for cocoop, 32 for coop.")] = None,
    lr: Annotated[float, typer.Option(help="Learning rate at the top of the schedule.")] = 0.002,
    context: Annotated[
        str | None, typer.Option(help='Words the learned context starts from. Default: "a photo of a".')
    ] = None,
    random_context: Annotated[
        int | None, typer.Option(metavar="M", help="Start from M random vectors instead of words.")
    ] = None,
    class_specific: Annotated[
        bool, typer.Option("--class-specific", help="coop only: a context for every class.")
    ] = False,
    class_position: Annotated[str, typer.Option(help="coop only: end, middle or front.")] = "end",
    template: Annotated[
        list[str] | None,
        typer.Option(help="zero-shot only: a text with {} for the name; give several to average."),
    ] = None,
    no_augment: Annotated[bool, typer.Option("--no-augment", help="No random crops and flips; faster.")] = False,
    views: Annotated[
        int | None, typer.Option(help="Random crops and flips of each image, taken in turn. Default: one per epoch.")
    ] = None,
    features: Features = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    compile: Annotated[
        str, typer.Option(help="Record the training step on an NVIDIA GPU, which is faster: auto, on or off.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Learn a prompt from labelled images, and score it on the test split, or on the images it did not learn from.

    Examples:
      cocoop train photos/ --out my-run
      cocoop train photos.csv --out my-run --clip openai/clip-vit-base-patch16 --shots 8
      cocoop train photos/ --out my-run --method coop --random-context 16
      cocoop train oxford_pets --data-root data/ --out my-run
    """
    from cocoop.classifier import Classifier
    from cocoop.data import OWN_TEMPLATE, read_dataset
    from cocoop.errors import InputError, RunError
    from cocoop.protocols import fit_and_score
    from cocoop.results import check_new, write_run
    from cocoop.results.card import model_card
    from cocoop.training import DivergedError

    if context is not None and random_context is not None:
        raise InputError("--context: expected nothing beside --random-context, which starts from no words. Give one.")
    check_new(out)
    dataset = read_dataset(source, data_root)
    classifier = Classifier(
        method=method,
        clip=clip,
        shots=shots,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        context="a photo of a" if context is None and random_context is None else context,
        context_length=random_context,
        class_specific=class_specific,
        class_position=class_position,
        templates=tuple(template or [dataset.template if method == "zero-shot" else OWN_TEMPLATE]),
        augment=not no_augment,
        views=views,
        features=features,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        memory_budget=memory_budget,
        compile=compile,
    )
    try:
        run = fit_and_score(classifier, dataset)
    except DivergedError as error:
        raise RunError(f"{error} No run was written; {_kept(error, out)}") from error
    folder = write_run(out, run, model_card(run.config, run.record))
    for text in _cautions(classifier, dataset):
        note(f"note: {text}")
    if clip == "tiny":
        note("note: the bundled CLIP 'tiny' is for trials; for photographs add --clip openai/clip-vit-base-patch16")
    if as_json:
        kept = {name: run.record[name] for name in ("training_images", "results", "zero_shot")}
        print_json({"run": str(folder), **kept})
        return
    learned = f"learned from {len(classifier.picked_):,} images" if method != "zero-shot" else "nothing to learn"
    print(f"{learned}, {len(classifier.classes_):,} classes: {folder}")
    if not run.record["results"]:
        print("no other images to score it on: use fewer shots, or `cocoop evaluate` on other images")
        return
    test, beside = run.record["results"]["test"], run.record["zero_shot"]["test"]
    which = "test" if dataset.test else "other"
    print(f"accuracy on the {test['n']:,} {which} images, in percent:")
    print(f"  {test['accuracy']:6.2f}  {method}")
    print(f"  {beside['accuracy']:6.2f}  zero-shot, {dataset.template!r}")


def _kept(error: DivergedError, out: Path) -> str:
    """Write the last good tensors beside where the run would have been, and say where they are."""
    from cocoop.results import write_tensors

    out = out.resolve()
    path = out.with_name(f"{out.name}.last-good.safetensors")
    write_tensors(path, {name: tensor.cpu().numpy() for name, tensor in error.tensors.items()})
    return f"the learned tensors of the last finite loss are in {path}."


def _cautions(classifier: Classifier, dataset: Dataset) -> Iterator[str]:
    """What the figures of a run do not say: classes with few images or none, and test images it learned from."""
    from cocoop.protocols import not_trained_on

    if not classifier.picked_:
        return
    counts = Counter(dataset.train[index].label for index in classifier.picked_)
    names = list(enumerate(dataset.class_names))
    none = [name for label, name in names if not counts[label]]
    few = [name for label, name in names if 0 < counts[label] < (classifier.shots or 1)]
    if none:
        yield f"no image to learn from of {_first(none)}"
    if few:
        yield f"fewer than {classifier.shots} images to learn from of {_first(few)}"
    learned = len(dataset.test) - len(not_trained_on(classifier, dataset.test))
    if learned:
        yield f"{learned:,} of the {len(dataset.test):,} test images were learned from, too; `evaluate` leaves them out"


def _first(names: list[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} others" if len(names) > shown else "")
