"""`cocoop train`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
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
    split_names,
)
from cocoop.cli.manners import stopped_by_hand
from cocoop.cli.next_steps import say_next
from cocoop.cli.settings import parse_settings
from cocoop.errors import InputError
from cocoop.progress import note
from cocoop.ranks import place

if TYPE_CHECKING:
    from cocoop.classifier import Classifier
    from cocoop.data import Dataset
    from cocoop.results import Run
    from cocoop.results import Search as Searched

Out = Annotated[Path, typer.Option(metavar="DIR", help="The run folder to write; must be new.")]
_METHODS = (
    "cocoop|coop|zero-shot|zero-shot-ensemble|kgcoop|prograd|tcp|zs-lp|clap|taskres|clip-adapter|tip-adapter|"
    "tip-adapter-f|linear-probe|..."
)
MethodName = Annotated[str, typer.Option(metavar=_METHODS, help="How to learn; or a plugin's.")]
Shots = Annotated[str, typer.Option(metavar="N|all", help="Training images per class, picked by the seed; or all.")]
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
    typer.Option(
        metavar="N",
        help="Random crops and flips of each image, taken in turn. Default: one per epoch, of zs-lp and clap 20.",
    ),
]
Validate = Annotated[
    bool,
    typer.Option(
        "--validate",
        help="Measure the accuracy after every epoch on the val split, or else on images that are held out: up to 4 of "
        "each class that are not learned from (with --shots all, a tenth of the class). They are not scored.",
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        metavar="last|best", help="The epoch that is kept: the last one, as in the papers, or the best, by --validate."
    ),
]
Patience = Annotated[
    int | None, typer.Option(metavar="N", help="End after N epochs in a row without a better one, by --validate.")
]
Search = Annotated[
    bool,
    typer.Option(
        "--search",
        help="Choose settings of the method by the accuracy on the images of --validate: alpha and beta of tip-adapter "
        "and tip-adapter-f.",
    ),
]
ClassWeight = Annotated[
    str | None,
    typer.Option(metavar="balanced", help="Let all classes count alike in the loss, however many images each has."),
]
ReportTo = Annotated[
    str | None,
    typer.Option(metavar="NAME,NAME,...", help="Tell the figures to these, too: tensorboard, wandb, mlflow, trackio."),
]
Restart = Annotated[
    bool,
    typer.Option("--restart", help="Begin anew, and throw away what a stopped training to the same --out has kept."),
]
CheckpointEvery = Annotated[
    str,
    typer.Option(
        metavar="N|Nmin",
        help="Keep the state beside --out every N steps or minutes, too; it is kept after every epoch.",
    ),
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
    shots: Shots = "16",
    seed: Seed = 1,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    set_: Settings = None,
    augment: Augment = None,
    views: Views = None,
    validate: Validate = False,
    keep: Keep = "last",
    patience: Patience = None,
    search: Search = False,
    class_weight: ClassWeight = None,
    report_to: ReportTo = None,
    exif: ExifOption = None,
    feature_cache: FeatureCache = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    cuda_graph: CudaGraph = "auto",
    checkpoint_every: CheckpointEvery = "10min",
    restart: Restart = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Learn a prompt from labelled images, and score it on the test split, or on the images it did not learn from.

    Stopped, failed or killed, the same command goes on from the state that is kept, and learns the same. Ctrl-C keeps
    it after the step; a second one ends at once. The processes of torchrun share each batch.

    Examples:
      cocoop train photos/ --out my-run
      cocoop train photos.csv --out my-run --clip openai/clip-vit-base-patch16 --shots 8
      cocoop train photos/ --out my-run --method coop --set context=none --set context_length=16
      cocoop train oxford_pets --data-root data/ --out my-run
      cocoop train photos/ --out my-run --shots all --class-weight balanced --validate --keep best --patience 3
    """
    settings = _settings_of(method, set_ or (), plugin or ())
    check_new_run(out, source)
    given: dict[str, Any] = {"seed": seed, "epochs": epochs, "batch_size": batch_size, "lr": lr, "views": views}
    given |= {"keep": keep, "patience": patience, "search": search, "class_weight": class_weight, "device": device}
    given |= {"dtype": dtype, "memory_budget": memory_budget, "feature_cache": feature_cache, "tokenizer": tokenizer}
    given["cuda_graph"] = cuda_graph
    dataset = read_source(source, data_root, class_names)
    classifier = _classifier(dataset, method, clip, settings, shots, augment, exif, given)
    with _alone(out, restart), stopped_by_hand(partial(_how_to_go_on, out)):
        _learn(classifier, dataset, out, validate, report_to, checkpoint_every, as_json)
    if not as_json and place().rank == 0:
        say_next(out, source, dataset, data_root, class_names, plugin or ())


@contextmanager
def _alone(out: Path, restart: bool) -> Iterator[None]:
    """Hold the place of the run, and its state, which goes if another one is to begin."""
    from cocoop.results import alone_at, check_free, lock_file, remove_state, state_file

    if place().rank:
        yield
        return
    busy = f"{out}: expected a place for this training alone; another one is at work on it. Wait, or choose another."
    with alone_at(lock_file(out), busy):
        check_free(out)  # another may just have ended
        if restart:
            remove_state(state_file(out))
        yield


def _classifier(
    dataset: Dataset,
    method: str,
    clip: str,
    settings: dict[str, Any],
    shots: str,
    augment: bool | None,
    exif: str | None,
    parameters: dict[str, Any],
) -> Classifier:
    """Unfitted, with what is the data set's own; `parameters` are the others of its constructor."""
    from cocoop.classifier import Classifier
    from cocoop.methods import METHODS
    from cocoop.rgb import chosen_exif

    return Classifier(
        method=method,
        clip=clip,
        settings=METHODS[method].template_settings(dataset.template) | settings,
        shots=_count(shots),
        augment="auto" if augment is None else augment,
        exif=chosen_exif(exif, dataset.exif, dataset.exif),
        **parameters,
    )


def _count(shots: str) -> int | None:
    """The number that --shots gives; None is all."""
    if shots == "all":
        return None
    try:
        return int(shots)
    except ValueError as error:
        raise InputError(f"--shots: expected a whole number of 1 or more, or all; got {shots!r}.") from error


def _settings_of(method: str, given: Sequence[str], plugins: Sequence[Path]) -> dict[str, Any]:
    """The settings that --set gives, all of which the method has; it may be one of a plugin's."""
    from cocoop.arguments import check_settings
    from cocoop.methods.plugins import load_plugins

    load_plugins(plugins)
    settings = parse_settings(given)
    check_settings(method, settings)
    return settings


def _learn(
    classifier: Classifier,
    dataset: Dataset,
    out: Path,
    validate: bool,
    report_to: str | None,
    checkpoint_every: str,
    as_json: bool,
) -> None:
    """Fit, score, write the run folder, and print what came out."""
    from cocoop.protocols import fit_and_score, learned_by
    from cocoop.results import keeping, remove_state, run_pictures, state_file, write_run
    from cocoop.results.card import model_card

    loggers = [] if report_to is None else split_names("--report-to", report_to)
    if place().rank:
        fit_and_score(classifier, dataset, validate, loggers, state_file(out), checkpoint_every)
        return
    with keeping(out, learned_by(classifier)):
        run, notes = fit_and_score(classifier, dataset, validate, loggers, state_file(out), checkpoint_every)
        pictures = run_pictures(run)
        folder = write_run(out, run, model_card(run.config, run.record, pictures), pictures)
    remove_state(state_file(out))
    for text in notes:
        note(f"note: {text}")
    if as_json:
        names = ("training_images", "validation_images", "kept_epoch", "search", "results", "zero_shot")
        kept = {name: asdict(run.record)[name] for name in names}
        print_json({"run": str(folder), **kept, "notes": [*dataset.notes, *notes]})
        return
    learned = f"learned from {len(classifier.picked_):,} images" if classifier.picked_ else "nothing to learn"
    print(f"{learned}, {len(classifier.classes_):,} classes: {folder}")
    if run.history and run.record.validation_images:
        print(_validated(run))
    if run.record.search:
        print(_searched(run.record.search))
    if not run.record.results:
        print("no other images to score it on: use fewer shots, or `cocoop evaluate` on other images")
        return
    test, beside = run.record.results["test"], run.record.zero_shot["test"]
    which = "test" if dataset.test else "other"
    print(f"accuracy on the {test.n:,} {which} images, in percent:")
    print(f"  {test.accuracy:6.2f}  {classifier.method}")
    print(f"  {beside.accuracy:6.2f}  zero-shot, {dataset.template!r}")


def _how_to_go_on(out: Path, error: KeyboardInterrupt) -> str:
    """What to say of a training that was stopped by hand."""
    from cocoop.results import state_file

    kept = (
        "the same command goes on from here"
        if state_file(out).exists()
        else "nothing is kept; the same command begins anew"
    )
    return f"note: {str(error).rstrip('.') or 'stopped'}; {kept}"


def _validated(run: Run) -> str:
    """Which epoch was kept of how many, and how well it does on the validation images."""
    record, history = run.record, run.history
    (kept,) = (epoch for epoch in history if epoch.epoch == record.kept_epoch)
    return (
        f"kept epoch {kept.epoch} of 0..{history[-1].epoch}: {kept.validation_accuracy:.2f} % of the "
        f"{record.validation_images:,} validation images"
    )


def _searched(search: Searched) -> str:
    """What was chosen on the validation images, and what it does there."""
    chosen = ", ".join(f"{name} {value:.4g}" for name, value in search.settings.items())
    return (
        f"chose {chosen} of {search.tried:,} on {search.images:,} validation images: {search.accuracy:.2f} % of them, "
        f"{search.before:.2f} % before"
    )
