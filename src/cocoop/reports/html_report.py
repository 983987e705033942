"""One HTML file with everything: tables, pictures, settings and environment. It loads nothing from anywhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from cocoop.reports import comparison_figures as draw
from cocoop.reports.cells import Table
from cocoop.reports.details import diagnoses, diagnosis_html
from cocoop.reports.formats import html_table
from cocoop.reports.groups import Group, dataset_order, group_records
from cocoop.reports.protocol_tables import protocol_tables
from cocoop.reports.style import css_colors
from cocoop.reports.svg import Picture
from cocoop.results import Record

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
    protocols = list(dict.fromkeys(group.protocol for group in groups))
    links = [(protocol, _ABOUT[protocol][0]) for protocol in protocols] + [
        ("runs", "Runs"),
        ("environment", "Environment"),
    ]
    index = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in links)
    body = [
        _header(records, groups, command),
        f'<nav aria-label="Contents"><ul>{index}</ul></nav>',
        *(_protocol(protocol, groups, tables) for protocol in protocols),
        _runs(groups),
        _environments(records),
    ]
    page = Template(files("cocoop.reports").joinpath("report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=f"cocoop: {len(records):,} runs",
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
    lead = f"{len(records):,} runs, {len(datasets):,} data set{'s' * (len(datasets) != 1)}."
    return f'<header><h1>Results of prompt learning</h1><p class="lead">{lead}</p>{_facts(facts)}</header>'


def _protocol(protocol: str, groups: Sequence[Group], tables: Sequence[Table]) -> str:
    title, about = _ABOUT[protocol]
    parts = [f'<section id="{protocol}"><h2>{title}</h2><p class="about">{html.escape(about)}</p>']
    for table in (table for table in tables if table.protocol == protocol):
        parts.append(f'<div class="wide">{html_table(table)}</div>')
    mine = [group for group in groups if group.protocol == protocol]
    for clip in dict.fromkeys(group.clip for group in mine):
        parts += _pictures(protocol, [group for group in mine if group.clip == clip], tables)
    return "".join([*parts, "</section>"])


def _pictures(protocol: str, groups: Sequence[Group], tables: Sequence[Table]) -> Iterable[str]:
    clip = groups[0].clip
    for figure, caption in _overview(protocol, groups, tables):
        yield _figure(figure, f"{caption} CLIP: {clip}.")
    found = diagnoses(groups)
    if found:
        about = (
            "Each run, against zero-shot CLIP on the same images."
            if protocol == "own-images"
            else "For each test one run, of the method with the best mean at the most shots, against zero-shot CLIP."
        )
        yield f"<h3>Class by class, {html.escape(clip)}</h3><p class=about>{about}</p>"
    yield from map(diagnosis_html, found)


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
            yield (
                draw.base_versus_new_figure(chosen),
                f"Base against new classes{f', {shots} shots' if shots else ''}: small marks are data sets, large "
                "marks their average; grey lines join points of one harmonic mean. Up and to the right is better.",
            )
    if protocol in ("cross-dataset", "domain-generalization"):
        for table in tables:
            if table.protocol == protocol and table.title.endswith(f", {groups[0].clip}"):
                yield draw.transfer_figure(table), f"{table.title.partition(',')[0]}: accuracy on each test."


def _figure(figure: Picture, caption: str) -> str:
    return f"<figure>{figure}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _runs(groups: Sequence[Group]) -> str:
    rows, settings = [], dict[str, list[str]]()
    for group in groups:
        first = group.records[0].content
        seconds = sum(record.content.get("seconds") or 0 for record in group.records) / len(group.records)
        memory = max((record.content.get("peak_memory_mb") or 0) for record in group.records)
        rows.append(
            (
                group.protocol,
                group.dataset,
                group.label,
                group.shots,
                ", ".join(map(str, group.seeds)),
                first.get("training_images"),
                first.get("trainable_parameters"),
                f"{seconds:,.1f}",
                f"{memory:,.0f}" if memory else None,
            )
        )
        spelled = ", ".join(f"{name} {value}" for name, value in group.records[0].settings.items())
        settings.setdefault(f"{group.method}: {spelled}", []).append(f"{group.protocol} {group.dataset}")
    header = ("protocol", "data set", "method", "shots", "seeds", "images", "parameters", "seconds", "peak MB")
    notes = (
        "images and parameters: learned from, and learned. seconds: of one run, on average. peak MB: the largest.",
    )
    table = Table(f"{sum(len(group.records) for group in groups):,} runs", "", header, tuple(rows), notes)
    listed = "".join(
        f"<dt>{html.escape(', '.join(dict.fromkeys(where))[:160])}</dt><dd><code>{html.escape(what)}</code></dd>"
        for what, where in settings.items()
    )
    return (
        f'<section id="runs"><h2>Runs</h2><details><summary>Every run</summary><div class="wide">{html_table(table)}'
        f"</div></details><details><summary>Settings</summary><dl>{listed}</dl></details></section>"
    )


def _environments(records: Sequence[Record]) -> str:
    counts: dict[str, int] = {}
    for record in records:
        spelled = _facts(_environment_facts(record.content.get("environment") or {}))
        counts[spelled] = counts.get(spelled, 0) + 1
    parts = [f"<h3>{count:,} run{'s' * (count != 1)}</h3>{spelled}" for spelled, count in counts.items()]
    return f'<section id="environment"><h2>Environment</h2>{"".join(parts)}</section>'


def _environment_facts(environment: Mapping[str, Any]) -> dict[str, str]:
    packages = environment.get("packages")
    facts = {name: str(value) for name, value in environment.items() if name != "packages" and value is not None}
    if isinstance(packages, Mapping):
        facts["packages"] = ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items())
    return facts or {"environment": "not recorded"}


def _facts(facts: Mapping[str, str]) -> str:
    lines = (
        f"<dt>{html.escape(name.replace('_', ' '))}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items()
    )
    return f"<dl>{''.join(lines)}</dl>"
