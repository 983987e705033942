"""The report's part on one test: which run stands for it, and its pictures, lists and mistakes as HTML."""

from __future__ import annotations

import html
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cocoop.class_names import prompt_name
from cocoop.reports.groups import Group, dataset_name, results_of
from cocoop.reports.page.diagnosis import Confusions, confusions, gains, reliability
from cocoop.reports.page.diagnosis_figures import confusion_figure, gain_figure, reliability_figure
from cocoop.reports.page.gallery import gallery
from cocoop.reports.rounding import counted
from cocoop.results import Record, harmonic_mean

_LISTED = 5


@dataclass(frozen=True)
class Diagnosis:
    """One test of one run, and zero-shot CLIP on the same test.

    label: of the run's method. run: the run. baseline: zero-shot CLIP's run, None where there is none.
    """

    label: str
    test: str
    run: Record
    baseline: Record | None

    @property
    def figures(self) -> dict[str, Any]:
        """The run's figures of the test."""
        return self.run.results[self.test]

    @property
    def baseline_figures(self) -> dict[str, Any] | None:
        """Zero-shot CLIP's figures of the test."""
        beside = self.baseline.results if self.baseline is not None else self.run.zero_shot
        return beside.get(self.test)


def diagnoses(groups: Sequence[Group]) -> list[Diagnosis]:
    """For each data set that was learned from (each run, for own images): its best group's first seed, test by test.

    The best has the highest mean accuracy, over tests too, and for base-to-new the highest harmonic mean. Of equal
    numbers of shots: those with the most. Zero-shot CLIP stands for itself only where nothing else was run.

    Args:
        groups: of one protocol and one CLIP.
    """
    if groups and groups[0].protocol == "own-images":
        runs = [(group.label, record) for group in groups for record in group.records]
        return [Diagnosis(label, test, run, None) for label, run in runs for test in run.results]
    found: list[Diagnosis] = []
    for dataset in dict.fromkeys(group.dataset for group in groups):
        here = [group for group in groups if group.dataset == dataset]
        learned = [group for group in here if group.shots] or here
        most = max(group.shots for group in learned)
        best = max((group for group in learned if group.shots == most), key=_score)
        zero_shot = next((group.records[0] for group in here if group.method == "zero-shot"), None)
        run = best.records[0]
        baseline = zero_shot if zero_shot is not run else None
        found += [Diagnosis(best.label, test, run, baseline) for test in run.results]
    return found


def _score(group: Group) -> float:
    rates = [rate.mean for test in results_of(group.records[0]) if (rate := group.rate(test)) is not None]
    if not rates:
        return -1.0
    return harmonic_mean(*rates) if group.protocol == "base-to-new" and len(rates) == 2 else statistics.fmean(rates)


def diagnosis_html(found: Diagnosis, opened: bool = False) -> str:
    """A part that opens and closes: pictures, best and worst classes, frequent confusions, confident mistakes."""
    figures, beside = found.figures, found.baseline_figures
    gained = gains(figures, beside) if beside else []
    predictions = found.run.predictions()
    matrix, curves = None, {}
    if predictions:
        matrix = confusions(found.run, found.test, predictions)
        if found.baseline is not None and (zero_shot := found.baseline.predictions()) and beside:
            curves["zero-shot"] = reliability(found.baseline, found.test, zero_shot)
        curves[found.run.method] = reliability(found.run, found.test, predictions)
    title = html.escape(_title(found))
    parts = [f"<details{' open' * opened}><summary>{title} <span>{html.escape(_accuracies(found))}</span></summary>"]
    pictures = [
        *([gain_figure(gained)] if gained else []),
        *([reliability_figure(curves)] if curves else []),
        *([confusion_figure(matrix)] if matrix is not None else []),
    ]
    if pictures:
        row = "".join(map(str, pictures))
        caption = html.escape(" ".join(_captions(gained, curves, matrix)))
        parts.append(f'<figure><div class="row">{row}</div><figcaption>{caption}</figcaption></figure>')
    facts = {**_extremes(gained), **_confused(matrix)}
    if facts:
        lines = (f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())
        parts.append(f"<dl>{''.join(lines)}</dl>")
    if figures.get("mistakes"):
        parts.append(f"<h3>Most confident mistakes</h3>{gallery(figures['mistakes'])}")
    return "".join([*parts, "</details>"])


def _title(found: Diagnosis) -> str:
    about = {
        "base": "base classes",
        "new": "new classes",
        "test": "",
    }.get(found.test, f"tested on {dataset_name(found.test)}")
    of = str(found.run.folder) if found.run.protocol == "own-images" else dataset_name(found.run.dataset)
    return ", ".join(filter(None, [of, about]))


def _accuracies(found: Diagnosis) -> str:
    run, beside = found.run, found.baseline_figures
    shots = f"{counted(run.shots, 'shot')}, " if run.shots else ""
    text = f"{found.label}, {shots}seed {run.seed}: {found.figures['accuracy']:.2f} %"
    return f"{text}; zero-shot {beside['accuracy']:.2f} %" if beside else text


def _captions(
    gained: Sequence[tuple[str, float]], curves: Mapping[str, Any], matrix: Confusions | None
) -> Iterable[str]:
    if gained:
        yield "Gain per class: points of accuracy above (blue) or below (orange) zero-shot CLIP, sorted."
    if curves:
        yield (
            "Reliability: the share that is correct over the confidence, in 15 bins; on the diagonal the confidence is "
            "right, below it too high. The area of a mark is its share of the images."
        )
    if matrix is not None:
        yield (
            "Confusions: each row is a true class, each column what it was taken for; the deeper a field, the more of "
            "the row's images."
        )


def _extremes(gained: Sequence[tuple[str, float]]) -> dict[str, str]:
    up = [f"{prompt_name(name)} {gain:+.1f}" for name, gain in gained[:_LISTED] if gain > 0]
    down = [f"{prompt_name(name)} {gain:+.1f}" for name, gain in gained[::-1][:_LISTED] if gain < 0]
    facts = {"gained most": ", ".join(up), "lost most": ", ".join(down)}
    return {name: text for name, text in facts.items() if text}


def _confused(matrix: Confusions | None) -> dict[str, str]:
    if matrix is None:
        return {}
    pairs = [
        f"{prompt_name(name)} called {prompt_name(called)} ({share:.0f} % of {count:,})"
        for name, called, share, count in matrix.worst(_LISTED)
    ]
    return {"confused most": ", ".join(pairs)} if pairs else {}
