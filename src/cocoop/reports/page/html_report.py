"""One HTML file with everything: tables, pictures, settings and environment. It loads nothing from anywhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from string import Template

from cocoop.reports.cells import Table
from cocoop.reports.groups import Group, dataset_order, group_records
from cocoop.reports.markup import html_table
from cocoop.reports.page import comparison_figures as draw
from cocoop.reports.page.details import Diagnosis, diagnoses, diagnosis_html
from cocoop.reports.page.run_sections import environment_section, facts_list, runs_section
from cocoop.reports.page.style import css_colors
from cocoop.reports.page.svg import Picture
from cocoop.reports.protocol_tables import protocol_tables
from cocoop.reports.rounding import counted
from cocoop.results import Record, check_predictions

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
    groups, tables = group_records(records), protocol_tables(records, ci95)
    found = _diagnoses(groups)
    check_predictions(run for one in chain(*found.values()) for run in (one.run, one.baseline) if run)
    protocols = list(dict.fromkeys(group.protocol for group in groups))
    links = [(protocol, _ABOUT[protocol][0]) for protocol in protocols] + [
        ("runs", "Runs"),
        ("environment", "Environment"),
    ]
    index = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in links)
    body = [
        _header(records, groups, command),
        f'<nav aria-label="Contents"><ul>{index}</ul></nav>',
        *(_protocol(protocol, groups, tables, found) for protocol in protocols),
        runs_section(groups),
        environment_section(records),
    ]
    page = Template(files("cocoop.reports.page").joinpath("report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=f"cocoop: {counted(len(records), 'run')}",
        light=css_colors(dark=False),
        dark=css_colors(dark=True),
        body="\n".join(body),
    )


def _header(records: Sequence[Record], groups: Sequence[Group], command: str) -> str:
    datasets, methods, clips = (
        list(dict.fromkeys(getattr(group, name) for group in groups)) for name in ("dataset", "method", "clip")
    )
    facts = {
        "methods": ", ".join(methods),
        "CLIP": ", ".join(clips),
        "learned from": ", ".join(sorted(datasets, key=dataset_order)[:15]) + (", ..." if len(datasets) > 15 else ""),
        **({"made by": command} if command else {}),
    }
    lead = f"{counted(len(records), 'run')}, {counted(len(datasets), 'data set')}."
    return f'<header><h1>Results of prompt learning</h1><p class="lead">{lead}</p>{facts_list(facts)}</header>'


def _diagnoses(groups: Sequence[Group]) -> Diagnoses:
    kinds = dict.fromkeys((group.protocol, group.clip) for group in groups)
    return {kind: diagnoses([group for group in groups if (group.protocol, group.clip) == kind]) for kind in kinds}


def _protocol(protocol: str, groups: Sequence[Group], tables: Sequence[Table], found: Diagnoses) -> str:
    title, about = _ABOUT[protocol]
    parts = [f'<section id="{protocol}"><h2>{title}</h2><p class="about">{html.escape(about)}</p>']
    for table in (table for table in tables if table.protocol == protocol):
        parts.append(f'<div class="wide">{html_table(table)}</div>')
    mine = [group for group in groups if group.protocol == protocol]
    for clip in dict.fromkeys(group.clip for group in mine):
        parts += _pictures(protocol, [group for group in mine if group.clip == clip], tables)
        parts += _class_by_class(protocol, clip, found)
    return "".join([*parts, "</section>"])


def _pictures(protocol: str, groups: Sequence[Group], tables: Sequence[Table]) -> Iterable[str]:
    for figure, caption in _overview(protocol, groups, tables):
        yield _figure(figure, f"{caption} CLIP: {groups[0].clip}.")


def _class_by_class(protocol: str, clip: str, found: Diagnoses) -> Iterable[str]:
    if found[protocol, clip]:
        about = (
            "Each run, against zero-shot CLIP on the same images."
            if protocol == "own-images"
            else "For each test one run, of the method with the best mean at the most shots, against zero-shot CLIP."
        )
        yield f"<h3>Class by class, {html.escape(clip)}</h3><p class=about>{about}</p>"
    opened = sum(map(len, found.values())) <= _OPENED
    yield from (diagnosis_html(one, opened) for one in found[protocol, clip])


def _overview(protocol: str, groups: Sequence[Group], tables: Sequence[Table]) -> Iterable[tuple[Picture, str]]:
    if protocol == "few-shot":
        yield (
            draw.few_shot_figure(groups),
            "Accuracy over the number of training images of each class. Bars: one standard deviation over seeds; the "
            "dotted line is zero-shot CLIP.",
        )
    if protocol == "base-to-new":
        for shots in sorted({group.shots for group in groups if group.shots}) or [0]:
            chosen = [group for group in groups if group.shots in (0, shots)]
            of = f", {counted(shots, 'shot')}" if shots else ""
            sizes = "small marks are data sets, large marks their average; "
            yield (
                draw.base_versus_new_figure(chosen),
                f"Base against new classes{of}: {sizes if len(draw.common_datasets(chosen)) > 1 else ''}grey lines "
                "join points of one harmonic mean. Up and to the right is better.",
            )
    if protocol in ("cross-dataset", "domain-generalization"):
        for table in tables:
            if table.protocol == protocol and table.clip == groups[0].clip:
                yield draw.transfer_figure(table), f"{table.title.partition(',')[0]}: accuracy on each test."


def _figure(figure: Picture, caption: str) -> str:
    return f"<figure>{figure}<figcaption>{html.escape(caption)}</figcaption></figure>"
