"""The report's part on one test: which run stands for it, and its pictures, lists and mistakes as HTML."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from markupsafe import Markup

from cocoop.class_names import prompt_name
from cocoop.reports.groups import Group, dataset_name, is_zero_shot, results_of
from cocoop.reports.page.diagnosis import confusions, gains, reliability
from cocoop.reports.page.diagnosis_figures import DRAWN, Curves, confusion_figure, gain_figure, reliability_figure
from cocoop.reports.page.gallery import gallery
from cocoop.reports.page.style import Looks
from cocoop.reports.page.template import render
from cocoop.reports.rounding import counted
from cocoop.results import Figures, Record, harmonic_mean
from cocoop.results.confusions import Confusions

_LISTED = 5


@dataclass(frozen=True)
class Diagnosis:
    """One test of one run, and zero-shot CLIP on the same test.

    label: of the run's group. run: the run. baseline: zero-shot CLIP's run, None where there is none. baseline_label:
    of that run's group.
    """

    label: str
    test: str
    run: Record
    baseline: Record | None = None
    baseline_label: str = ""

    @property
    def figures(self) -> Figures:
        """The run's figures of the test."""
        return self.run.results[self.test]

    @property
    def baseline_figures(self) -> Figures | None:
        """Zero-shot CLIP's figures of the test."""
        beside = self.baseline.results if self.baseline is not None else self.run.zero_shot
        return beside.get(self.test)


def diagnoses(groups: Sequence[Group]) -> list[Diagnosis]:
    """For each data set that was learned from: the best group's run of the first seed, test by test.

    Of the groups with the most shots, the best is the one with the highest mean accuracy over its tests (for
    base-to-new, with the highest harmonic mean). Zero-shot CLIP stands for itself only where nothing else was run. Of
    own images every run is shown, of sensitivity those under the data set's own words and even draws.

    Args:
        groups: of one protocol and one CLIP.
    """
    if groups and groups[0].protocol == "own-images":
        runs = [(group.label, record) for group in groups for record in group.records]
        return [Diagnosis(label, test, run) for label, run in runs for test in run.results]
    groups = [group for group in groups if not group.varied]
    datasets = dict.fromkeys(group.dataset for group in groups)
    of_datasets = ([group for group in groups if group.dataset == name] for name in datasets)
    return list(chain.from_iterable(map(_of_dataset, of_datasets)))


def _of_dataset(groups: Sequence[Group]) -> list[Diagnosis]:
    learned = [group for group in groups if group.shots] or groups
    most = max(group.shots for group in learned)
    best = max((group for group in learned if group.shots == most), key=_score)
    run, tests = best.records[0], best.records[0].results
    zero_shot = next((group for group in groups if is_zero_shot(group.records[0])), best)
    if zero_shot is best:
        return [Diagnosis(best.label, test, run) for test in tests]
    return [Diagnosis(best.label, test, run, zero_shot.records[0], zero_shot.label) for test in tests]


def _score(group: Group) -> float:
    rates = [rate.mean for test in results_of(group.records[0]) if (rate := group.rate(test)) is not None]
    if not rates:
        return -1.0
    return harmonic_mean(*rates) if group.protocol == "base-to-new" and len(rates) == 2 else statistics.fmean(rates)


def diagnosis_html(diagnosis: Diagnosis, styles: Looks, opened: bool = False) -> Markup:
    """`diagnosis_body` as a part that opens and closes.

    Args:
        diagnosis: what it shows.
        styles: of all labels of the report.
        opened: whether it is open at first.
    """
    return render(
        "diagnosis.html",
        opened=opened,
        title=_title(diagnosis),
        accuracies=_accuracies(diagnosis),
        body=diagnosis_body(diagnosis, styles),
    )


def diagnosis_body(diagnosis: Diagnosis, styles: Looks) -> Markup:
    """Pictures, best and worst classes, calibration error, frequent confusions, confident mistakes.

    Args:
        diagnosis: what it shows.
        styles: of all labels of the report.
    """
    figures, beside = diagnosis.figures, diagnosis.baseline_figures
    gained = gains(figures, beside) if beside else []
    gained = gained if any(points for _, points in gained) else []  # zero-shot CLIP beside itself gains nothing
    predictions = diagnosis.run.predictions()
    matrix = confusions(diagnosis.run, diagnosis.test, predictions) if predictions else None
    curves = _curves(diagnosis, styles) if predictions else {}
    return render(
        "diagnosis_body.html",
        pictures=[
            *([gain_figure(gained)] if gained else []),
            *([reliability_figure(curves)] if curves else []),
            *([confusion_figure(matrix)] if matrix is not None and len(matrix.names) <= DRAWN else []),
        ],
        caption=" ".join(_captions(gained, curves, matrix)),
        facts={
            **_extremes(gained),
            **_calibration(figures, beside),
            **_reliability_facts(diagnosis),
            **_confused(matrix),
        },
        mistakes=gallery(figures.mistakes, figures.exif) if figures.mistakes else "",
    )


def together_html(diagnosis: Diagnosis, styles: Looks, opened: bool = False) -> Markup | None:
    """Reliability into the classes of both halves, beside a `diagnosis` of one; None where it was not measured."""
    both = replace(diagnosis, test="together")
    record, together = both.run, both.run.together
    if record.reliability is None or together is None or "together" not in record.reliability.tests:
        return None
    curves = _curves(both, styles) if "together/label" in record.predictions() else {}
    return render(
        "diagnosis.html",
        opened=opened,
        title=_title(both),
        accuracies=f"{_named(both)}: {together.accuracy:.2f} %",
        body=render(
            "diagnosis_body.html",
            pictures=[reliability_figure(curves)] if curves else [],
            caption=" ".join(_captions((), curves, None)),
            facts=_reliability_facts(both),
            mistakes="",
        ),
    )


def _curves(diagnosis: Diagnosis, styles: Looks) -> Curves:
    """Of zero-shot CLIP, if it is a run with predictions, and of the run; without settings, for which is no room."""
    run, baseline, test = diagnosis.run, diagnosis.baseline, diagnosis.test
    curves: Curves = {}
    if baseline is not None and f"{test}/label" in (predictions := baseline.predictions()):
        curves["zero-shot"] = reliability(baseline, test, predictions), styles[diagnosis.baseline_label]
    predictions, look = run.predictions(), styles[diagnosis.label]
    curves[run.method] = reliability(run, test, predictions), look
    if f"{test}/calibrated" in predictions:
        curves["calibrated"] = reliability(run, test, predictions, "calibrated"), look._replace(dash="2 3")
    return curves


def test_name(test: str) -> str:
    """What a test of a record is on, in words; nothing to say of the test split of what was learned."""
    names = {"base": "base classes", "new": "new classes", "together": "base and new classes together", "test": ""}
    return names.get(test, f"tested on {dataset_name(test)}")


def _title(diagnosis: Diagnosis) -> str:
    of = str(diagnosis.run.folder) if diagnosis.run.protocol == "own-images" else dataset_name(diagnosis.run.dataset)
    return ", ".join(filter(None, [of, test_name(diagnosis.test)]))


def _accuracies(diagnosis: Diagnosis) -> str:
    beside = diagnosis.baseline_figures
    text = f"{_named(diagnosis)}: {diagnosis.figures.accuracy:.2f} %"
    return f"{text}; zero-shot {beside.accuracy:.2f} %" if beside else text


def _named(diagnosis: Diagnosis) -> str:
    """Which run it is of."""
    shots = f"{counted(diagnosis.run.shots, 'shot')}, " if diagnosis.run.shots else ""
    return f"{diagnosis.label}, {shots}seed {diagnosis.run.seed}"


def _captions(
    gained: Sequence[tuple[str, float]], curves: Mapping[str, Any], matrix: Confusions | None
) -> Iterable[str]:
    if gained:
        yield "Gain per class: points of accuracy above (blue) or below (orange) zero-shot CLIP, sorted."
    if curves:
        yield (
            "Reliability: the share that is correct over the confidence, in 15 bins; on the diagonal the confidence is "
            "right, below it too high. The area of a mark is its share of the images."
            + (" Dotted: calibrated on held-out images of base classes." if "calibrated" in curves else "")
        )
    if matrix is not None and len(matrix.names) > DRAWN:
        yield f"No picture of the confusions, because {len(matrix.names):,} classes are more than {DRAWN:,}."
    elif matrix is not None:
        yield (
            "Confusions: each row is a true class, each column what it was taken for; the deeper a field, the more of "
            "the row's images."
        )


def _extremes(gained: Sequence[tuple[str, float]]) -> dict[str, str]:
    up = [f"{prompt_name(name)} {gain:+.1f}" for name, gain in gained[:_LISTED] if gain > 0]
    down = [f"{prompt_name(name)} {gain:+.1f}" for name, gain in gained[::-1][:_LISTED] if gain < 0]
    facts = {"gained most": ", ".join(up), "lost most": ", ".join(down)}
    return {name: text for name, text in facts.items() if text}


def _calibration(figures: Figures, beside: Figures | None) -> dict[str, str]:
    error = f"{figures.expected_calibration_error:.2f} points between confidence and share correct"
    return {
        "expected calibration error": f"{error}; zero-shot {beside.expected_calibration_error:.2f}" if beside else error
    }


def _reliability_facts(diagnosis: Diagnosis) -> dict[str, str]:
    """Calibration errors by each way that there is, and conformal sets, of base-to-new."""
    measured = diagnosis.run.reliability
    if measured is None or diagnosis.test not in measured.tests:
        return {}
    fits, facts = measured.tests[diagnosis.test], dict[str, str]()
    for way, figures in (("as they are", fits.plain), ("temperature", fits.temperature), ("dac", fits.dac)):
        if figures is not None:
            error, classwise = figures.expected_calibration_error, figures.classwise_calibration_error
            facts[f"probabilities, {way}"] = f"calibration error {error:.2f}, class-wise {classwise or 0:.2f}"
    if fits.sets is not None and measured.fit is not None and measured.fit.coverage is not None:
        facts[f"conformal sets of {100 * measured.fit.coverage:g} %"] = (
            f"{fits.sets.covered:.2f} % covered, {fits.sets.size:.2f} classes on average"
            + ("" if diagnosis.test == "base" else "; the stated coverage is guaranteed for base classes alone")
        )
    return facts


def _confused(matrix: Confusions | None) -> dict[str, str]:
    if matrix is None:
        return {}
    pairs = [
        f"{prompt_name(of.label)} called {prompt_name(of.predicted)} ({counted(of.images, 'image')}, {of.share:.0f} %)"
        for of in matrix.worst(_LISTED)
    ]
    return {"confused most": ", ".join(pairs)} if pairs else {}
