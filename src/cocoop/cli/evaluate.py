"""`cocoop evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.cli.common import (
    AsJson,
    Classes,
    ClassNames,
    DataRoot,
    Device,
    Dtype,
    ExifOption,
    FeatureCache,
    InferenceOption,
    MemoryBudget,
    OtherClip,
    Plugins,
    RunFolder,
    Shortlist,
    Source,
    Tokenizer,
    note,
    print_json,
    read_source,
    split_names,
)
from cocoop.errors import InputError

if TYPE_CHECKING:
    from cocoop.classifier import Classifier
    from cocoop.data import Example
    from cocoop.evaluation import Agreement, Metrics
    from cocoop.methods import Inference

FolderClasses = Annotated[
    bool, typer.Option("--folder-classes", help="Classify into the classes of these images, not those trained on.")
]
IncludeTraining = Annotated[bool, typer.Option("--include-training", help="Score the images it was trained on, too.")]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="With --inference tangent or --shortlist: classify exactly, too, and report how far both agree.",
    ),
]


def evaluate(
    run: RunFolder,
    source: Source,
    data_root: DataRoot = None,
    class_names: ClassNames = None,
    classes: Classes = None,
    folder_classes: FolderClasses = False,
    include_training: IncludeTraining = False,
    inference: InferenceOption = "exact",
    shortlist: Shortlist = None,
    verify: Verify = False,
    exif: ExifOption = None,
    feature_cache: FeatureCache = None,
    clip: OtherClip = None,
    tokenizer: Tokenizer = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Score a learned prompt on labelled images: accuracy, macro-F1, calibration, and every class.

    Where the images have a test split, that is scored, else all. Images it was trained on are recognised and left out.

    Examples:
      cocoop evaluate my-run photos/
      cocoop evaluate my-run other-photos.csv --folder-classes
      cocoop evaluate my-run imagenetv2 --data-root data/ --folder-classes
      cocoop evaluate my-run imagenetv2 --data-root data/ --folder-classes --inference tangent --verify
    """
    from cocoop.classifier import Classifier
    from cocoop.methods import described
    from cocoop.methods.plugins import load_plugins
    from cocoop.rgb import chosen_exif

    _check_options(classes, folder_classes, verify and shortlist is None and inference == "exact")
    load_plugins(plugin or ())
    dataset = read_source(source, data_root, class_names)
    examples = dataset.test or dataset.train
    classifier = Classifier.load(
        run, clip, tokenizer, device=device, dtype=dtype, memory_budget=memory_budget, feature_cache=feature_cache
    )
    classifier.exif = chosen_exif(exif, classifier.exif, dataset.exif)
    _set_classes(classifier, classes, dataset.class_names if folder_classes else None)
    scored = examples if include_training else _new_to(classifier, examples, f"{source}: expected images that {run}")
    labelled = ([example.path for example in scored], [example.label for example in scored], dataset.class_names)
    used = classifier.inference(shortlist, inference)
    agreement = classifier.verify(*labelled, shortlist, inference) if verify else None
    metrics = agreement.approximate if agreement else classifier.evaluate(*labelled, shortlist, inference)
    if len(scored) < len(examples):
        note(f"note: left out {len(examples) - len(scored):,} images that {run} was {_seen(classifier)} on")
    name, facts = _named(used)
    if as_json:
        print_json({**facts, **metrics.as_dict(), **({"agreement": agreement.as_dict()} if agreement else {})})
        return
    if facts:
        note(f"note: {described(used)}")
    _print_figures(metrics, agreement, name)


def _named(used: Inference) -> tuple[str, dict[str, Any]]:
    """How classes were found: the column of its figures, and what JSON says of it."""
    from cocoop.methods import Method, Shortlist

    if isinstance(used, Method):
        return "value", {}
    how = "exact" if used.exact else "approximate"
    if isinstance(used, Shortlist):
        return f"shortlist of {used.size} ({how})", {"shortlist": used.size, "approximate": not used.exact}
    facts = {"check": used.check.as_dict(), "classified": dict(used.counts)}
    return f"tangent ({how})", {"inference": "tangent", "approximate": not used.exact, "tangent": facts}


def _check_options(classes: str | None, folder_classes: bool, nothing_to_verify: bool) -> None:
    if classes is not None and folder_classes:
        raise InputError("--classes: expected nothing beside --folder-classes, which takes the images'. Give one.")
    if nothing_to_verify:
        raise InputError(
            "--verify: expected --inference tangent or --shortlist N beside it, whose agreement it reports; got none. "
            "Add one."
        )


def _set_classes(classifier: Classifier, classes: str | None, of_the_images: Sequence[str] | None) -> None:
    if of_the_images is not None:
        _say_what_is_left_out(classifier.classes_.tolist(), of_the_images)
        classifier.set_classes(of_the_images, allow_equal=True)
    elif classes is not None:
        classifier.set_classes(split_names("--classes", classes, at_least=2))


def _say_what_is_left_out(trained: Sequence[Any], chosen: Sequence[str]) -> None:
    """With fewer classes to choose from, or none of those that are alike, the question is an easier one."""
    from cocoop.class_names import as_read

    left = {as_read(name) for name in chosen}
    missing = [str(name) for name in trained if as_read(str(name)) not in left]
    if missing:
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        note(
            f"note: {len(missing):,} of the run's {len(trained):,} classes are not among the {len(chosen):,} to choose "
            f"from here: {first}. With fewer or other classes the question is another one, and may be easier"
        )


def _seen(classifier: Classifier) -> str:
    return "trained or validated" if classifier.validated_on else "trained"


def _new_to(classifier: Classifier, examples: Sequence[Example], expected: str) -> list[Example]:
    from cocoop.protocols import not_trained_on

    scored = not_trained_on(classifier, examples)
    if not scored:
        raise InputError(
            f"{expected} was not trained on; all {len(examples)} were. Give other images, or add --include-training."
        )
    return scored


def _print_figures(metrics: Metrics, agreement: Agreement | None, column: str) -> None:
    from cocoop.reports import text_table

    columns = {column: _figures(metrics)}
    if agreement:
        columns["exact"] = _figures(agreement.exact)
        seconds = (agreement.approximate_seconds, agreement.exact_seconds)
        for figures, taken in zip(columns.values(), seconds, strict=True):
            figures["seconds without the image tower"] = f"{taken:.2f}"
    rows = [[name, *(figures[name] for figures in columns.values())] for name in columns[column]]
    print(text_table(["figure", *columns], rows))
    print()
    if agreement:
        print(text_table(["agreement", "value"], _agreement_rows(agreement)))
        print()
    per_class = [[name, f"{value:.2f}"] for name, value in metrics.per_class_accuracy.items()]
    print(text_table(["class", "accuracy, %"], per_class))


def _figures(metrics: Metrics) -> dict[str, str]:
    return {
        "images": f"{metrics.n:,}",
        "accuracy, %": f"{metrics.accuracy:.2f}",
        "macro-F1, %": f"{metrics.macro_f1:.2f}",
        "mean per-class accuracy, %": f"{metrics.mean_per_class_accuracy:.2f}",
        "expected calibration error, %": f"{metrics.expected_calibration_error:.2f}",
    }


def _agreement_rows(agreement: Agreement) -> list[list[str]]:
    return [
        ["same top class, % of images", f"{agreement.same_top_class:.2f}"],
        ["largest difference of the top probability, 0..1", f"{agreement.largest_difference:.4f}"],
        ["mean difference of the top probability, 0..1", f"{agreement.mean_difference:.4f}"],
    ]
