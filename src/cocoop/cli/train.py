"""`cocoop train`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocoop.cli.common import (
    AsJson,
    Clip,
    DataRoot,
    Device,
    Dtype,
    FeatureCache,
    MemoryBudget,
    Plugins,
    Source,
    Tokenizer,
    note,
    print_json,
)

if TYPE_CHECKING:
    from cocoop.classifier import Classifier
    from cocoop.data import Dataset
    from cocoop.results import Run


def train(
    source: Source,
    out: Annotated[Path, typer.Option(help="The run folder to write; must be new.")],
    data_root: DataRoot = None,
    method: Annotated[str, typer.Option(help="cocoop, coop, zero-shot, or a plugin's.")] = "cocoop",
    clip: Clip = "tiny",
    tokenizer: Tokenizer = None,
    shots: Annotated[int, typer.Option(help="Training images per class, picked by the seed.")] = 16,
    seed: Annotated[int, typer.Option(help="Any integer; the same seed gives the same run.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Default: the paper's, 10 for cocoop, 200 for coop.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Default: the paper's, 1 for cocoop, 32 for coop.")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate at the top of the schedule. Default: the paper's, 0.002.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method, several times: cocoop has context (words that the prompt starts from, none "
            "for random vectors), context_length, meta_nets (shared, per-token) and similarity (cosine, dot, "
            "euclidean); coop has context, context_length, class_specific, class_position and similarity; zero-shot "
            "has templates.",
        ),
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(
            "--augment/--no-augment",
            show_default=False,
            help="Random crops and flips of the training images, or none. Default: what the CLIP's files say, or else "
            "augment, as the papers do.",
        ),
    ] = None,
    views: Annotated[
        int | None, typer.Option(help="Random crops and flips of each image, taken in turn. Default: one per epoch.")
    ] = None,
    feature_cache: FeatureCache = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    cuda_graph: Annotated[
        str, typer.Option(help="Record the training step on an NVIDIA GPU, which is faster: auto, on or off.")
    ] = "auto",
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
    from cocoop.arguments import check_settings
    from cocoop.classifier import Classifier
    from cocoop.cli.settings import parse_settings
    from cocoop.data import read_dataset
    from cocoop.methods import METHODS
    from cocoop.methods.plugins import load_plugins
    from cocoop.protocols import fit_and_score, learned_by
    from cocoop.results import check_new, keeping, write_run
    from cocoop.results.card import model_card

    load_plugins(plugin or ())
    settings = parse_settings(set_ or ())
    check_settings(method, settings)
    check_new(out)
    dataset = read_dataset(source, data_root)
    if "templates" in METHODS[method].setting_defaults():
        settings = {"templates": [dataset.template], **settings}
    classifier = Classifier(
        method=method,
        clip=clip,
        settings=settings,
        shots=shots,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        augment="auto" if augment is None else augment,
        views=views,
        feature_cache=feature_cache,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        memory_budget=memory_budget,
        cuda_graph=cuda_graph,
    )
    with keeping(out, learned_by(classifier)):
        run, tested_on_training = fit_and_score(classifier, dataset)
        folder = write_run(out, run, model_card(run.config, run.record))
    for text in (*_cautions(classifier, dataset, tested_on_training), *_worse_than_zero_shot(run)):
        note(f"note: {text}")
    if clip == "tiny":
        note("note: the bundled CLIP 'tiny' is for trials; for photographs add --clip openai/clip-vit-base-patch16")
    if as_json:
        kept = {name: asdict(run.record)[name] for name in ("training_images", "results", "zero_shot")}
        print_json({"run": str(folder), **kept})
        return
    learned = f"learned from {len(classifier.picked_):,} images" if classifier.picked_ else "nothing to learn"
    print(f"{learned}, {len(classifier.classes_):,} classes: {folder}")
    if not run.record.results:
        print("no other images to score it on: use fewer shots, or `cocoop evaluate` on other images")
        return
    test, beside = run.record.results["test"], run.record.zero_shot["test"]
    which = "test" if dataset.test else "other"
    print(f"accuracy on the {test.n:,} {which} images, in percent:")
    print(f"  {test.accuracy:6.2f}  {method}")
    print(f"  {beside.accuracy:6.2f}  zero-shot, {dataset.template!r}")


def _worse_than_zero_shot(run: Run) -> Iterator[str]:
    """What to say and to try where learning did harm on the scored images."""
    settings, learned, beside = run.record.settings, run.record.results.get("test"), run.record.zero_shot.get("test")
    if not run.history or learned is None or beside is None or learned.accuracy >= beside.accuracy:
        return
    yield "learning did worse than the hand-written prompt on these images; what may help:"
    if settings["augment"]:
        yield "  --no-augment, if a cut or mirrored image shows something else, as signs and letters do"
    yield f"  a lower --lr than {settings['lr']:g}, fewer --epochs than {settings['epochs']}, or more --shots"
    yield "  choose among these on images of their own (a val split), not on the ones scored here"


def _cautions(classifier: Classifier, dataset: Dataset, learned: int) -> Iterator[str]:
    """What the figures of a run do not say: classes with few images or none, and test images it learned from."""
    from cocoop.training import warm_up_only

    if not classifier.picked_:
        return
    caution = warm_up_only(len(classifier.history_))
    if caution is not None:
        yield caution
    counts = Counter(dataset.train[index].label for index in classifier.picked_)
    names = list(enumerate(dataset.class_names))
    none = [name for label, name in names if not counts[label]]
    few = [name for label, name in names if 0 < counts[label] < (classifier.shots or 1)]
    if none:
        yield f"no image to learn from of {_first(none)}"
    if few:
        yield f"fewer than {classifier.shots} images to learn from of {_first(few)}"
    if learned:
        yield f"{learned:,} of the {len(dataset.test):,} test images were learned from, too; `evaluate` leaves them out"


def _first(names: list[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} others" if len(names) > shown else "")
