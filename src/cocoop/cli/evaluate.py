"""`cocoop evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
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
    FolderClasses,
    IncludeTraining,
    InferenceOption,
    MemoryBudget,
    OtherClip,
    Plugins,
    RunFolder,
    Shortlist,
    Source,
    Tokenizer,
    check_class_options,
    print_json,
    read_source,
    split_names,
)
from cocoop.errors import InputError
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.classifier import Classifier
    from cocoop.data import Dataset
    from cocoop.evaluation import Agreement, Metrics
    from cocoop.methods import Inference
    from cocoop.results import Calibration, CalibrationFigures

Calibrate = Annotated[
    bool | None,
    typer.Option(
        "--calibrate/--no-calibrate",
        show_default=False,
        help="Fit one temperature on images that it did not learn from (the val split, or a half) and keep it in RUN: "
        "from then on probabilities are calibrated, and the top class stays the same. Or take it out of RUN again.",
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="With --inference tangent or --shortlist: classify exactly, too, and report how far both agree.",
    ),
]

_PARTS = {
    "val": "of the val split",
    "train": "of the training split that it did not learn from",
    "half": "of one half that it did not learn from",
    None: "",
}
"""What they are called that a temperature was fitted on."""


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
    calibrate: Calibrate = None,
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
      cocoop evaluate my-run photos/ --calibrate
      cocoop evaluate my-run other-photos.csv --folder-classes
      cocoop evaluate my-run imagenetv2 --data-root data/ --folder-classes
      cocoop evaluate my-run imagenetv2 --data-root data/ --folder-classes --inference tangent --verify
    """
    from cocoop.classifier import Classifier
    from cocoop.methods.plugins import load_plugins
    from cocoop.protocols.cautions import other_classes
    from cocoop.rgb import chosen_exif

    _check_options(classes, folder_classes, shortlist, inference, verify, calibrate, include_training)
    load_plugins(plugin or ())
    run = _found(run, calibrate is not None)
    dataset = read_source(source, data_root, class_names)
    classifier = Classifier.load(
        run, clip, tokenizer, device=device, dtype=dtype, memory_budget=memory_budget, feature_cache=feature_cache
    )
    classifier.exif = chosen_exif(exif, classifier.exif, dataset.exif)
    trained = classifier.classes_.tolist()
    if folder_classes:
        classifier.set_classes(dataset.class_names, allow_equal=True)
    elif classes is not None:
        classifier.set_classes(split_names("--classes", classes, at_least=2))
    notes = [*other_classes(trained, classifier.model_.class_names)]
    if calibrate is False and classifier.calibration_ is not None:
        classifier.fit_ = replace(classifier.fit_, calibration=None)
        _keep(run, None)
    if calibrate:
        _calibrate(run, classifier, dataset, notes, as_json)
    else:
        _evaluate(classifier, dataset, notes, shortlist, inference, verify, include_training, as_json)


def _found(run: Path, to_be_changed: bool) -> Path:
    from cocoop.sharing import found_run

    found = found_run(run)
    if to_be_changed and found != run:
        raise InputError(
            f"{run}: expected a run folder here, which keeps the temperature; got one of the hub. Download it first: "
            f"hf download {run} --local-dir DIR."
        )
    return found


def _check_options(
    classes: str | None,
    folder_classes: bool,
    shortlist: int | None,
    inference: str,
    verify: bool,
    calibrate: bool | None,
    include_training: bool,
) -> None:
    check_class_options(classes, folder_classes)
    if verify and shortlist is None and inference == "exact":
        raise InputError(
            "--verify: expected --inference tangent or --shortlist N beside it, whose agreement it reports; got none. "
            "Add one."
        )
    beside = {
        "--shortlist": shortlist is not None,
        "--inference": inference != "exact",
        "--include-training": include_training,
    }
    for option, given in beside.items():
        if calibrate and given:
            raise InputError(
                f"{option}: expected nothing beside --calibrate, which takes all classes and other images."
            )


def _evaluate(
    classifier: Classifier,
    dataset: Dataset,
    notes: list[str],
    shortlist: int | None,
    inference: str,
    verify: bool,
    include_training: bool,
    as_json: bool,
) -> None:
    from cocoop.methods import described
    from cocoop.protocols import evaluate_on

    scored = evaluate_on(classifier, dataset, shortlist, inference, verify, include_training)
    metrics, agreement, used = scored.metrics, scored.agreement, scored.used
    column, facts = _named(used)
    notes += scored.notes + ([str(described(used))] if facts else [])
    _say(notes)
    temperature = classifier.temperature
    if as_json:
        calibrated = {} if temperature is None else {"temperature": temperature}
        compared = {"agreement": agreement.as_dict()} if agreement else {}
        print_json({**facts, **calibrated, **metrics.as_dict(), **compared, "notes": [*dataset.notes, *notes]})
        return
    _print_figures(metrics, agreement, column, temperature)


def _named(used: Inference) -> tuple[str, dict[str, Any]]:
    """How classes were found: the column of its figures, and what JSON says of it."""
    from cocoop.methods import Calibrated, Method, Shortlist

    model = used.model if isinstance(used, Calibrated) else used
    if isinstance(model, Method):
        return "value", {}
    how = "exact" if model.exact else "approximate"
    if isinstance(model, Shortlist):
        return f"shortlist of {model.size} ({how})", {"shortlist": model.size, "approximate": not model.exact}
    facts = {"check": model.check.as_dict(), "classified": dict(model.counts)}
    return f"tangent ({how})", {"inference": "tangent", "approximate": not model.exact, "tangent": facts}


def _calibrate(run: Path, classifier: Classifier, dataset: Dataset, notes: list[str], as_json: bool) -> None:
    """Fit the temperature, keep it in the run, and print what it does to the figures of other images."""
    from cocoop.protocols import calibrate
    from cocoop.protocols.cautions import need_not_calibrate
    from cocoop.reports import text_table

    calibration = calibrate(classifier, dataset)
    _keep(run, calibration)
    notes += need_not_calibrate(calibration)
    _say(notes)
    if as_json:
        print_json({"run": str(run), "calibration": asdict(calibration), "notes": [*dataset.notes, *notes]})
        return
    low, high = calibration.interval
    print(f"temperature {calibration.temperature:.2f} (95 % interval {low:.2f} to {high:.2f})")
    print(f"fitted on {calibration.images:,} images {_PARTS[calibration.part]}")
    if calibration.before is not None and calibration.after is not None:
        columns = [_fit_of(figures) for figures in (calibration.before, calibration.after)]
        rows = [[name, *(figures[name] for figures in columns)] for name in columns[0]]
        print(f"scored on {calibration.others:,} others:\n")
        print(text_table(["figure", "before", "calibrated"], rows))


def _keep(run: Path, calibration: Calibration | None) -> None:
    from cocoop.results import read_config, read_record, rewrite_record
    from cocoop.results.card import model_card
    from cocoop.results.pictures import pictures_in

    record = replace(read_record(run), calibration=calibration)
    rewrite_record(run, record, model_card(read_config(run), record, pictures_in(run)))


def _fit_of(figures: CalibrationFigures) -> dict[str, str]:
    return {
        "accuracy, %": f"{figures.accuracy:.2f}",
        "expected calibration error, %": f"{figures.expected_calibration_error:.2f}",
        "class-wise calibration error, %": f"{figures.classwise_calibration_error:.2f}",
        "negative log-likelihood, nats": f"{figures.negative_log_likelihood:.4f}",
    }


def _say(notes: Sequence[str]) -> None:
    for text in notes:
        note(f"note: {text}")


def _print_figures(metrics: Metrics, agreement: Agreement | None, column: str, temperature: float | None) -> None:
    from cocoop.reports import text_table

    columns = {column: _figures(metrics)}
    if agreement:
        columns["exact"] = _figures(agreement.exact)
        seconds = (agreement.approximate_seconds, agreement.exact_seconds)
        for figures, taken in zip(columns.values(), seconds, strict=True):
            figures["seconds without the image tower"] = f"{taken:.2f}"
    if temperature is not None:
        for figures in columns.values():
            figures["temperature"] = f"{temperature:.2f} (calibrated)"
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
