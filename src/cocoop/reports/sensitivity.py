"""How much of a method's lead over zero-shot CLIP is choice of words, and how far it depends on the draw of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cocoop.reports.cells import Cell, Table
from cocoop.reports.comparison import Images, compared, difference_cells
from cocoop.reports.groups import Group, dataset_order, is_zero_shot, method_order
from cocoop.reports.layout import Ours, average, average_of
from cocoop.reports.rounding import counted
from cocoop.results import PairedDifference

_HEADER = (
    *("data set", "method", "changed", "zero-shot", "accuracy", "lead", "lead, 95 %"),
    *("words bring zero-shot", "words, 95 %", "of the lead, %"),
)
_TEST = ("test",)

_NOTES = (
    "Changed: one thing at a time, of the data set's own names and template and {shots} of every class. A lopsided "
    "draw has as many images in all, but not of each class. Plain names are those of the annotations, before anybody "
    "chose words for them.",
    "Lead: accuracy minus that of zero-shot CLIP under the same words, percent points, paired over seeds and images. A "
    "method that takes no template, or names, keeps its accuracy where only zero-shot's words change.",
    "Words bring zero-shot: what these words alone add to zero-shot CLIP. Of the lead: the share of the unchanged lead "
    "that is gone under these words, where its interval is above 0; a negative share: they make the lead larger.",
    "The intervals cover other seeds and other images of these classes; not other data sets, nor that one in twenty is "
    "wrong by chance. Blank: one seed.",
)

Line = tuple[str, list[Group], list[Group]]
"""What is changed; the method's runs on some data sets, and on the same ones zero-shot CLIP's under the same words."""


def sensitivity_tables(groups: Sequence[Group], ci95: bool = False) -> list[Table]:
    """One table: of every method and data set, and on average, each change with the lead and what words have of it.

    Args:
        groups: of the protocol "sensitivity" and one CLIP.
        ci95: as in `protocol_tables`.

    Raises:
        InputError: predictions beside a record that are damaged.
    """
    images, rows = Images(), list[tuple[Cell, ...]]()
    zero_shot = {(g.dataset, g.varied): g for g in groups if is_zero_shot(g.records[0]) and g.method == "zero-shot"}
    learners = [group for group in groups if group.shots]
    datasets = sorted({group.dataset for group in learners}, key=dataset_order)
    labels = sorted({group.label for group in learners}, key=method_order)
    most = max((group.shots for group in learners), default=0)
    for chosen in [[dataset] for dataset in datasets] + ([datasets] if len(datasets) > 1 else []):
        for label in labels:
            lines = list(_lines(chosen, [g for g in learners if g.label == label], zero_shot, most))
            name = chosen[0] if len(chosen) == 1 else ""
            rows += _rows(name, len(datasets), label, lines, images)
    if not rows:
        return []
    clip, notes = groups[0].clip, (_NOTES[0].format(shots=counted(most, "image")), *_NOTES[1:])
    table = Table(_HEADER, tuple(rows), f"Sensitivity, {clip}", "sensitivity", notes, clip=clip)
    return [replace(table, spread="ci95" if ci95 else "std")]


def _lines(
    datasets: Sequence[str], learners: Sequence[Group], zero_shot: dict[tuple[str, tuple[str, ...]], Group], most: int
) -> Iterator[Line]:
    """Nothing changed, then other words, the draw, and fewer shots; those that all of the data sets have."""
    own = {(group.dataset, group.varied, group.shots): group for group in learners}
    words = sorted({varied for _, varied in zero_shot if varied})
    draws = [group.varied for group in learners if group.varied]
    for varied in dict.fromkeys([(), *words, *draws]):
        # Where words change that a method does not take, there is no run of its own.
        mine = [own.get((name, varied, most)) or own.get((name, (), most)) for name in datasets]
        theirs = [zero_shot.get((name, varied)) or zero_shot.get((name, ())) for name in datasets]
        if all((name, varied) in zero_shot or (name, varied, most) in own for name in datasets):
            yield ", ".join(varied) or "nothing", [g for g in mine if g], [g for g in theirs if g]
    for shots in sorted({group.shots for group in learners} - {most}):
        mine, theirs = [own.get((name, (), shots)) for name in datasets], [zero_shot.get((n, ())) for n in datasets]
        yield counted(shots, "shot"), [g for g in mine if g], [g for g in theirs if g]


def _rows(name: str, whole: int, label: str, lines: Sequence[Line], images: Images) -> Iterator[tuple[Cell, ...]]:
    """The rows of one method on one data set, or on average (no `name`)."""
    unchanged: PairedDifference | None = None
    before: list[Group] = []
    for changed, mine, theirs in lines:
        pairs = list(zip(mine, theirs, strict=False))
        if not pairs or len(mine) != len(theirs) or not all(images.same(_TEST, pair) for pair in pairs):
            continue
        lead = compared(pairs, _TEST, images)
        if lead is None:
            continue
        if changed == "nothing":
            unchanged, before = lead, theirs
        of_words = theirs != before and bool(before)
        yield (
            name or average_of(len(mine), whole),
            label,
            changed,
            _mean(theirs),
            _mean(mine),
            *difference_cells(lead),
            *(_words(theirs, before, unchanged, lead, images) if of_words else ("", "", "")),
        )


def _mean(groups: Sequence[Group]) -> Ours:
    """The accuracy of one group, or the average of several."""
    rates = [rate for group in groups if (rate := group.rate("test"))]
    return rates[0] if len(rates) == 1 else average([(rate, None) for rate in rates], whole=False)[0]


def _words(
    theirs: Sequence[Group],
    before: Sequence[Group],
    unchanged: PairedDifference | None,
    lead: PairedDifference,
    images: Images,
) -> tuple[Cell, ...]:
    """What the words bring zero-shot CLIP, its interval, and the share of the unchanged lead that is gone with them."""
    brought = compared(list(zip(theirs, before, strict=True)), _TEST, images)
    share = ""
    if unchanged is not None and unchanged.verdict == "better":
        share = str(round(100 * (unchanged.value - lead.value) / unchanged.value))
    return *(difference_cells(brought) if brought else ("", "")), share
