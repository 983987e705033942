"""`cocoop train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.cli.common import (
    AsJson,
    ClassNames,
    Clip,
    DataRoot,
    Device,
    Dtype,
    ExifOption,
    FeatureCache,
    MemoryBudget,
    Plugins,
    Source,
    Tokenizer,
    check_new_run,
    print_json,
    read_source,
)
from cocoop.cli.settings import parse_settings
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.classifier import Classifier
    from cocoop.data import Dataset

Out = Annotated[Path, typer.Option(metavar="DIR", help="The run folder to write; must be new.")]
MethodName = Annotated[str, typer.Option(metavar="cocoop|coop|zero-shot|...", help="How to learn; or a plugin's.")]
Shots = Annotated[int, typer.Option(metavar="N", help="Training images per class, picked by the seed.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Any integer; the same seed gives the same run.")]
Epochs = Annotated[int | None, typer.Option(metavar="N", help="Default: the paper's, 10 for cocoop, 200 for coop.")]
BatchSize = Annotated[int | None, typer.Option(metavar="N", help="Default: the paper's, 1 for cocoop, 32 for coop.")]
Rate = Annotated[
    float | None, typer.Option(help="Learning rate at the top of the schedule. Default: the paper's, 0.002.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the method, such as context_length=4; may be repeated. docs/methods.md lists those of each "
        "method.",
    ),
]
Augment = Annotated[
    bool | None,
    typer.Option(
        "--augment/--no-augment",
        show_default=False,
        help="Random crops and flips of the training images, or none. Default: what the CLIP's files say, or else "
        "augment, as the papers do.",
    ),
]
Views = Annotated[
    int | None,
    typer.Option(metavar="N", help="Random crops and flips of each image, taken in turn. Default: one per epoch."),
]
CudaGraph = Annotated[
    str, typer.Option(metavar="auto|on|off", help="Record the training step on an NVIDIA GPU, which is faster.")
]


def train(
    source: Source,
    out: Out,
    data_root: DataRoot = None,
    class_names: ClassNames = None,
    method: MethodName = "cocoop",
    clip: Clip = "tiny",
    tokenizer: Tokenizer = None,
    shots: Shots = 16,
    seed: Seed = 1,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    set_: Settings = None,
    augment: Augment = None,
    views: Views = None,
    exif: ExifOption = None,
    feature_cache: FeatureCache = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    cuda_graph: CudaGraph = "auto",
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Learn a prompt from labelled images, and score it on the test split, or on the images it did not learn from.

    Examples:
      cocoop train photos/ --out my-run
      cocoop train photos.csv --out my-run --clip openai/clip-vit-base-patch16 --shots 8
      cocoop train photos/ --out my-run --method coop --set context=none --set context_length=16
      cocoop train oxford_pets --data-root data/ --out my-run
      cocoop train photos/ --out my-run --plugin my_method.py --method mine --set weight=8
    """
    from cocoop.classifier import Classifier
    from cocoop.methods import METHODS
    from cocoop.rgb import chosen_exif

    settings = _settings_of(method, set_ or (), plugin or ())
    check_new_run(out, source)
    learning: dict[str, Any] = {"shots": shots, "seed": seed, "epochs": epochs, "batch_size": batch_size, "lr": lr}
    machine: dict[str, Any] = {"device": device, "dtype": dtype, "memory_budget": memory_budget}
    dataset = read_source(source, data_root, class_names)
    settings = METHODS[method].template_settings(dataset.template) | settings
    classifier = Classifier(
        method=method,
        clip=clip,
        settings=settings,
        augment="auto" if augment is None else augment,
        views=views,
        exif=chosen_exif(exif, dataset.exif, dataset.exif),
        feature_cache=feature_cache,
        tokenizer=tokenizer,
        cuda_graph=cuda_graph,
        **learning,
        **machine,
    )
    _learn(classifier, dataset, out, as_json)


def _settings_of(method: str, given: Sequence[str], plugins: Sequence[Path]) -> dict[str, Any]:
    """The settings that --set gives, all of which the method has; it may be one of a plugin's."""
    from cocoop.arguments import check_settings
    from cocoop.methods.plugins import load_plugins

    load_plugins(plugins)
    settings = parse_settings(given)
    check_settings(method, settings)
    return settings


def _learn(classifier: Classifier, dataset: Dataset, out: Path, as_json: bool) -> None:
    """Fit, score, write the run folder, and print what came out."""
    from cocoop.protocols import fit_and_score, learned_by
    from cocoop.results import keeping, write_run
    from cocoop.results.card import model_card

    with keeping(out, learned_by(classifier)):
        run, notes = fit_and_score(classifier, dataset)
        folder = write_run(out, run, model_card(run.config, run.record))
    for text in notes:
        note(f"note: {text}")
    if as_json:
        kept = {name: asdict(run.record)[name] for name in ("training_images", "results", "zero_shot")}
        print_json({"run": str(folder), **kept, "notes": [*dataset.notes, *notes]})
        return
    learned = f"learned from {len(classifier.picked_):,} images" if classifier.picked_ else "nothing to learn"
    print(f"{learned}, {len(classifier.classes_):,} classes: {folder}")
    if not run.record.results:
        print("no other images to score it on: use fewer shots, or `cocoop evaluate` on other images")
        return
    test, beside = run.record.results["test"], run.record.zero_shot["test"]
    which = "test" if dataset.test else "other"
    print(f"accuracy on the {test.n:,} {which} images, in percent:")
    print(f"  {test.accuracy:6.2f}  {classifier.method}")
    print(f"  {beside.accuracy:6.2f}  zero-shot, {dataset.template!r}")
