"""The report's parts on how the runs were made: their commands, sizes, settings, and machines."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from cocoop.reports.cells import Cell, Table
from cocoop.reports.commands import benchmark_command
from cocoop.reports.groups import Group
from cocoop.reports.page.tables import html_table
from cocoop.reports.page.template import render
from cocoop.reports.rounding import counted
from cocoop.results import Environment, Record

_HEADER = ("protocol", "data set", "method", "shots", "seeds", "images", "parameters", "seconds", "peak MB")
_NOTES = ("images and parameters: learned from, and learned. seconds: of one run, on average. peak MB: the largest.",)
_SHOWN = 12  # data sets named beside settings


def runs_section(groups: Sequence[Group]) -> Markup:
    """Commands, a table of all runs, and their settings, as HTML."""
    count = sum(len(group.records) for group in groups)
    table = Table(_HEADER, [_row(group) for group in groups], counted(count, "run"), notes=_NOTES)
    return render("runs.html", commands=_commands(groups), table=html_table(table), settings=_settings(groups))


def environment_section(records: Sequence[Record]) -> Markup:
    """Machines and versions, each with the number of runs made there, as HTML."""
    counts = Counter(tuple(environment_facts(record.content.environment).items()) for record in records)
    return render(
        "environment.html", machines=[(counted(count, "run"), dict(facts)) for facts, count in counts.items()]
    )


def environment_facts(environment: Environment) -> dict[str, str]:
    """A machine and its installation, in words."""
    facts = {name.replace("_", " "): str(value) for name, value in vars(environment).items() if value is not None}
    packages = ", ".join(f"{name} {version or 'missing'}" for name, version in environment.packages.items())
    return {**facts, "packages": packages}


def facts_html(facts: Mapping[str, str]) -> Markup:
    """A list of names and what belongs to them."""
    return render("facts_alone.html", facts=facts)


def _commands(groups: Sequence[Group]) -> list[str]:
    kinds: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.protocol != "own-images":
            kinds.setdefault((group.protocol, group.clip), []).append(group)
    return [benchmark_command(of_kind) for of_kind in kinds.values()]


def _row(group: Group) -> tuple[Cell, ...]:
    contents = [record.content for record in group.records]
    seconds = [content.seconds for content in contents if content.seconds is not None]
    memory = [content.peak_memory_mb for content in contents if content.peak_memory_mb is not None]
    return (
        group.protocol,
        group.dataset,
        group.label,
        group.shots,
        ", ".join(map(str, group.seeds)),
        contents[0].training_images,
        contents[0].trainable_parameters,
        f"{statistics.fmean(seconds):,.1f}" if seconds else None,
        round(max(memory)) if memory else None,
    )


def _settings(groups: Sequence[Group]) -> dict[str, str]:
    """A method and its settings -> the protocols and data sets that it ran on with them."""
    where: dict[str, dict[str, None]] = {}
    for group in groups:
        spelled = ", ".join(f"{name} {value}" for name, value in group.records[0].settings.items())
        where.setdefault(f"{group.method}: {spelled}", {})[f"{group.protocol} {group.dataset}"] = None
    return {settings: _listed(list(places)) for settings, places in where.items()}


def _listed(places: Sequence[str]) -> str:
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more
