"""One HTML file with everything: tables, pictures, settings and environment. It loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from markupsafe import Markup

from cocoop.reports.cautions import cautions
from cocoop.reports.cells import Table
from cocoop.reports.groups import Group, dataset_order, group_records
from cocoop.reports.page import comparison_figures as draw
from cocoop.reports.page.details import Diagnosis, diagnoses, diagnosis_html, together_html
from cocoop.reports.page.run_sections import environment_section, runs_section
from cocoop.reports.page.style import Looks, looks
from cocoop.reports.page.svg import Picture
from cocoop.reports.page.tables import html_table
from cocoop.reports.page.template import render
from cocoop.reports.page.whole import whole_page
from cocoop.reports.protocol_tables import protocol_tables
from cocoop.reports.rounding import counted
from cocoop.results import ALL_CLASSES, Record, check_predictions

_ABOUT = {
    "base-to-new": (
        "Base to new",
        "Learned from a few images of the first half of the classes (base); tested on these classes, and on the other "
        "half (new), of which it saw nothing. H is the harmonic mean of the two mean accuracies.",
    ),
    "cross-dataset": (
        "Cross-dataset",
        "Learned on one data set, the source; tested on others, with their class names put into the same prompt.",
    ),
    "domain-generalization": (
        "Domain generalization",
        "Learned on one data set, the source; tested on pictures of the same classes in another style.",
    ),
    "few-shot": ("Few-shot", "Learned from a growing number of images of every class; tested on the same classes."),
    "sensitivity": (
        "Sensitivity",
        "How far a lead over zero-shot CLIP depends on class names, template, number of images and their draw.",
    ),
    "own-images": (
        "Own images",
        "Learned from a few images of each class; tested on the others. Beside it zero-shot CLIP, which learns "
        "nothing, on the same images.",
    ),
}

_OPENED = 2  # so many tests on a page are shown at once, more are folded

Diagnoses = Mapping[tuple[str, str], Sequence[Diagnosis]]
"""Protocol and CLIP -> one entry per test."""


def html_report(records: Iterable[Record], command: str = "", ci95: bool = False) -> str:
    """Write the report of all records as one HTML page.

    Everything that comes from records and image files is escaped; pictures are inside the page.

    Args:
        records: as `read_records` gives them.
        command: what made the report, shown in it.
        ci95: as in `protocol_tables`.

    Raises:
        InputError: predictions beside a record that are damaged or do not fit it.
    """
    records = list(records)
    check_predictions(records)
    groups, tables = group_records(records), protocol_tables(records, ci95)
    styles = looks(group.label for group in groups)
    of_tests = _diagnoses(groups)
    protocols = dict.fromkeys(group.protocol for group in groups)
    runs = counted(len(records), "run")
    return whole_page(
        f"cocoop: {runs}",
        "Results of prompt learning",
        f"{runs}, {counted(len({group.dataset for group in groups}), 'data set')}.",
        _facts(groups, command),
        cautions(records),
        [
            *((name, _ABOUT[name][0], _protocol(name, groups, tables, of_tests, styles)) for name in protocols),
            ("runs", "Runs", runs_section(groups)),
            ("environment", "Environment", environment_section(records)),
        ],
    )


def _facts(groups: Sequence[Group], command: str) -> dict[str, str]:
    datasets, methods, clips = (
        list(dict.fromkeys(getattr(group, name) for group in groups)) for name in ("dataset", "method", "clip")
    )
    return {
        "methods": ", ".join(methods),
        "CLIP": ", ".join(clips),
        "learned from": ", ".join(sorted(datasets, key=dataset_order)[:15]) + (", ..." if len(datasets) > 15 else ""),
        **({"made by": command} if command else {}),
    }


def _diagnoses(groups: Sequence[Group]) -> Diagnoses:
    kinds = dict.fromkeys((group.protocol, group.clip) for group in groups)
    return {kind: diagnoses([group for group in groups if (group.protocol, group.clip) == kind]) for kind in kinds}


def _protocol(
    protocol: str, groups: Sequence[Group], tables: Sequence[Table], of_tests: Diagnoses, styles: Looks
) -> Markup:
    """A protocol's tables and, of each CLIP, its pictures and its tests."""
    title, about = _ABOUT[protocol]
    tables = [table for table in tables if table.protocol == protocol]
    opened = sum(map(len, of_tests.values())) <= _OPENED
    clips: dict[str, list[Group]] = {}
    for group in groups:
        if group.protocol == protocol:
            clips.setdefault(group.clip, []).append(group)
    return render(
        "protocol.html",
        protocol=protocol,
        title=title,
        about=about,
        tables=[html_table(table) for table in tables],
        clips=[
            {
                "name": clip,
                "pictures": [
                    (picture, f"{caption} CLIP: {clip}.")
                    for picture, caption in _overview(mine, [table for table in tables if table.clip == clip], styles)
                ],
                "diagnoses": [*chain.from_iterable(_parts(test, styles, opened) for test in of_tests[protocol, clip])],
            }
            for clip, mine in clips.items()
        ],
    )


def _parts(test: Diagnosis, styles: Looks, opened: bool) -> Iterable[Markup]:
    """A test, and behind the new classes both halves together."""
    yield diagnosis_html(test, styles, opened)
    if test.test == "new" and (together := together_html(test, styles, opened)):
        yield together


def _overview(groups: Sequence[Group], tables: Sequence[Table], styles: Looks) -> Iterable[tuple[Picture, str]]:
    """The pictures of one protocol and CLIP that compare methods, and their captions."""
    protocol = groups[0].protocol
    if protocol in ALL_CLASSES:
        yield (
            draw.few_shot_figure([group for group in groups if not group.varied], styles),
            "Accuracy over the number of training images of each class. Bars: one standard deviation over seeds; the "
            "dotted line is zero-shot CLIP.",
        )
    if protocol == "base-to-new":
        for shots in sorted({group.shots for group in groups if group.shots}) or [0]:
            chosen = [group for group in groups if group.shots in (0, shots)]
            of = f", {counted(shots, 'shot')}" if shots else ""
            sizes = "small marks are data sets, large marks their average; "
            yield (
                draw.base_versus_new_figure(chosen, styles),
                f"Base against new classes{of}: {sizes if len(draw.common_datasets(chosen)) > 1 else ''}grey lines "
                "join points of one harmonic mean. Up and to the right is better.",
            )
    if protocol in ("cross-dataset", "domain-generalization"):
        for table in tables:
            yield draw.transfer_figure(table, styles), f"{table.title.partition(',')[0]}: accuracy on each test."
