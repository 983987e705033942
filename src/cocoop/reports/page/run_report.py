"""One run as one HTML page: how it went, class by class, with what, and how to go on. It loads nothing."""

from __future__ import annotations

from markupsafe import Markup

from cocoop.class_names import prompt_name
from cocoop.reports.cautions import cautions
from cocoop.reports.cells import Cell, Rate, Table
from cocoop.reports.commands import run_commands
from cocoop.reports.groups import dataset_name, is_zero_shot, spelled
from cocoop.reports.page.details import Diagnosis, diagnosis_body, test_name
from cocoop.reports.page.diagnosis import class_rates, confusions, recalls
from cocoop.reports.page.run_sections import environment_facts, facts_html
from cocoop.reports.page.style import looks
from cocoop.reports.page.tables import html_table
from cocoop.reports.page.template import render
from cocoop.reports.page.training_figures import training_figures
from cocoop.reports.page.whole import section, whole_page
from cocoop.reports.rounding import counted
from cocoop.results import Figures, Record, check_predictions
from cocoop.results.confusions import Confusions

_OPENED = 20
"""Up to so many classes the lists of them are open at first."""

_PAIRS = 20  # confusions in a list
_LED = 2  # up to so many tests are in the first line

_FIGURES = {
    "accuracy": "accuracy",
    "macro-F1": "macro_f1",
    "per-class mean": "mean_per_class_accuracy",
    "calibration error": "expected_calibration_error",
}
_RATES = (
    "recall: of the images of the class, percent that were called it. precision: of the images called it, percent that "
    "are of it. -: there are none, or they were not kept.",
)


def run_report(record: Record, command: str = "") -> str:
    """Write the page of one run.

    What comes from the run folder and from image files is escaped; pictures are inside the page. What a run has nothing
    of, such as predictions, is named in its place.

    Args:
        record: as `read_records` gives it.
        command: what made the page, shown in it.

    Raises:
        InputError: predictions, history or config beside the record that are damaged or do not fit it.
    """
    check_predictions([record])
    place, name = str(record.folder), record.folder.resolve().name
    parts = [
        ("results", "Results", render("results.html", table=html_table(_results(record)) if record.results else "")),
        ("training", "Training", _training(record)),
        *(_of_test(i, Diagnosis(record.method, test, record)) for i, test in enumerate(record.results)),
        ("settings", "Settings", facts_html(_settings(record))),
        ("environment", "Environment", facts_html(environment_facts(record.content.environment))),
        ("next", "How to go on", render("next.html", folder=repr(place), commands=run_commands(place))),
    ]
    about = _lead(record), _facts(record, command), cautions([record])
    return whole_page(f"cocoop: {name}", f"Run {name}", *about, [section(*part) for part in parts])


def _lead(record: Record) -> str:
    content, tests = record.content, record.results.items()
    learned = "which learned nothing"
    if content.imported is not None:
        learned = f"imported from {content.imported.file}"
    elif content.training_images:
        learned = f"learned from {counted(content.training_images, 'image')}"
    about = f"{record.method}, {learned}"
    rates = (f"{figures.accuracy:.2f} % of {_images_of(test, figures)}" for test, figures in tests)
    return f"{about}: right on {' and '.join(rates)}." if 0 < len(tests) <= _LED else f"{about}."


def _images_of(test: str, figures: Figures) -> str:
    return ", ".join(filter(None, [counted(figures.n, "image"), test_name(test)]))


def _facts(record: Record, command: str) -> dict[str, str]:
    content = record.content
    facts = {
        "folder": str(record.folder),
        "data": dataset_name(record.dataset),
        "classes": f"{content.classes:,}",
        "CLIP": record.clip,
    }
    if not is_zero_shot(record):
        facts |= {
            "images per class": f"{record.shots}" if record.shots else "unknown" if content.imported else "all",
            "seed": "unknown" if record.seed is None else str(record.seed),
            "learned parameters": f"{content.trainable_parameters:,}",
            "time": "unknown" if content.seconds is None else f"{content.seconds:,.1f} s",
        }
    if content.validation_images:
        facts |= {"validation images": f"{content.validation_images:,}", "kept epoch": str(content.kept_epoch)}
    if command:
        facts["made by"] = command
    return facts


def _results(record: Record) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for test, figures in record.results.items():
        beside = record.zero_shot.get(test)
        of_zero_shot = [Rate(beside.accuracy) if beside else None] if record.zero_shot else []
        rows.append((test, figures.n, *(Rate(getattr(figures, name)) for name in _FIGURES.values()), *of_zero_shot))
    last = ["zero-shot accuracy"] if record.zero_shot else []
    return Table(("test", "images", *_FIGURES, *last), rows, "Percent")


def _training(record: Record) -> Markup:
    history = record.history()
    lacking = "Nothing was learned." if is_zero_shot(record) else "The run folder has no epochs in metrics.jsonl."
    return render("training.html", pictures=training_figures(history) if history else [], lacking=lacking)


def _of_test(number: int, test: Diagnosis) -> tuple[str, str, Markup]:
    """Anchor, title and HTML of one test: pictures and mistakes, then all classes and the frequent confusions."""
    predictions = test.run.predictions()
    matrix = confusions(test.run, test.test, predictions) if predictions else None
    body = render(
        "run_test.html",
        diagnosis=diagnosis_body(test, looks([test.label])),
        kept=matrix is not None,
        opened=len(test.figures.per_class_accuracy) <= _OPENED,
        classes=html_table(_class_table(test, matrix)),
        pairs=html_table(_pair_table(matrix)) if matrix is not None and matrix.worst(1) else None,
    )
    return f"test-{number}", ", ".join(filter(None, ["Class by class", test_name(test.test)])), body


def _class_table(test: Diagnosis, matrix: Confusions | None) -> Table:
    beside = test.baseline_figures
    of_zero_shot = beside.per_class_accuracy if beside else {}
    rates = class_rates(matrix) if matrix is not None else recalls(test.figures)
    rows = [
        (
            prompt_name(of.name),
            of.images,
            _rate(of.recall),
            *([_rate(of_zero_shot.get(of.name))] if beside else []),
            _rate(of.precision),
            of.called,
        )
        for of in rates
    ]
    header = ("class", "images", "recall", *(["zero-shot recall"] if beside else []), "precision", "called so")
    return Table(header, rows, f"{counted(len(rows), 'class', 'classes')}, the lowest recall first", notes=_RATES)


def _rate(percent: float | None) -> Rate | None:
    return None if percent is None else Rate(percent)


def _pair_table(matrix: Confusions) -> Table:
    rows = [
        (f"{prompt_name(of.label)} called {prompt_name(of.predicted)}", of.images, Rate(of.share))
        for of in matrix.worst(_PAIRS)
    ]
    return Table(("confusion", "images", "% of the class"), rows, "The most frequent confusions")


def _settings(record: Record) -> dict[str, str]:
    """Of the method, the training and the computation."""
    own = {name.replace("_", " "): spelled(value) for name, value in record.settings.items()}
    names = ("protocol", "tokenizer", "device", "dtype", "clip_fingerprint", "split_hash")
    others = {name.replace("_", " "): getattr(record.content, name) for name in names}
    exif = {figures.exif: None for figures in record.results.values()}
    kept = {name: value for name, value in others.items() if value is not None}
    return {**own, **({"exif": ", ".join(exif)} if exif else {}), **kept}
