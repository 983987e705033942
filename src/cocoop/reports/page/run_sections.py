"""The report's parts on how the runs were made: their commands, sizes, settings, and machines."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cocoop.reports.cells import Cell, Table
from cocoop.reports.commands import benchmark_command
from cocoop.reports.groups import Group
from cocoop.reports.markup import html_table
from cocoop.reports.rounding import counted
from cocoop.results import Record

_HEADER = ("protocol", "data set", "method", "shots", "seeds", "images", "parameters", "seconds", "peak MB")
_NOTES = ("images and parameters: learned from, and learned. seconds: of one run, on average. peak MB: the largest.",)
_SHOWN = 12  # data sets named beside settings


def runs_section(groups: Sequence[Group]) -> str:
    """Commands, a table of all runs, and their settings, as HTML."""
    count = sum(len(group.records) for group in groups)
    table = html_table(Table(counted(count, "run"), "", _HEADER, tuple(map(_row, groups)), _NOTES))
    return (
        f'<section id="runs"><h2>Runs</h2>{_commands(groups)}'
        f'<details><summary>Every run</summary><div class="wide">{table}</div></details>'
        f"<details><summary>Settings</summary>{_settings(groups)}</details></section>"
    )


def environment_section(records: Sequence[Record]) -> str:
    """Machines and versions, each with the number of runs made there, as HTML."""
    counts: dict[str, int] = {}
    for record in records:
        spelled = facts_list(_environment_facts(record.content.get("environment") or {}))
        counts[spelled] = counts.get(spelled, 0) + 1
    parts = [f"<h3>{counted(count, 'run')}</h3>{spelled}" for spelled, count in counts.items()]
    return f'<section id="environment"><h2>Environment</h2>{"".join(parts)}</section>'


def facts_list(facts: Mapping[str, str]) -> str:
    """Names and texts as an HTML list; both are escaped."""
    lines = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())
    return f"<dl>{''.join(lines)}</dl>"


def _commands(groups: Sequence[Group]) -> str:
    kinds = dict.fromkeys((group.protocol, group.clip) for group in groups if group.protocol != "own-images")
    if not kinds:
        return ""
    found = [[group for group in groups if (group.protocol, group.clip) == kind] for kind in kinds]
    lines = (f"<pre>{html.escape(benchmark_command(of))}</pre>" for of in found)
    return f"<p class=about>To make such runs with the papers' settings; others are listed below.</p>{''.join(lines)}"


def _row(group: Group) -> tuple[Cell, ...]:
    contents = [record.content for record in group.records]
    seconds = [content["seconds"] for content in contents if content.get("seconds") is not None]
    memory = [content["peak_memory_mb"] for content in contents if content.get("peak_memory_mb") is not None]
    return (
        group.protocol,
        group.dataset,
        group.label,
        group.shots,
        ", ".join(map(str, group.seeds)),
        contents[0].get("training_images"),
        contents[0].get("trainable_parameters"),
        f"{statistics.fmean(seconds):,.1f}" if seconds else None,
        round(max(memory)) if memory else None,
    )


def _settings(groups: Sequence[Group]) -> str:
    where: dict[str, dict[str, None]] = {}
    for group in groups:
        spelled = ", ".join(f"{name} {value}" for name, value in group.records[0].settings.items())
        where.setdefault(f"{group.method}: {spelled}", {})[f"{group.protocol} {group.dataset}"] = None
    lines = []
    for spelled, places in where.items():
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        places_text = html.escape(", ".join(list(places)[:_SHOWN]) + more)
        lines.append(f"<dt><code>{html.escape(spelled)}</code></dt><dd>{places_text}</dd>")
    return f'<dl class="stacked">{"".join(lines)}</dl>'


def _environment_facts(environment: Mapping[str, Any]) -> dict[str, str]:
    packages = environment.get("packages")
    facts = {
        name.replace("_", " "): str(value)
        for name, value in environment.items()
        if name != "packages" and value is not None
    }
    if isinstance(packages, Mapping):
        facts["packages"] = ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items())
    return facts or {"environment": "not recorded"}
