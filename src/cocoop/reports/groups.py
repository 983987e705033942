"""Which runs belong together: those that differ in nothing but the seed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cocoop.data import OFFLINE, OFFLINE_VARIANTS, PAPER_DATASETS
from cocoop.reports.cells import Rate, rate_over
from cocoop.results import BASELINES, PROTOCOL_NAMES, Figures, Record
from cocoop.results.published import PAPER_METHODS


@dataclass(frozen=True)
class Group:
    """Runs of one protocol, CLIP, data set, method, number of shots and settings.

    dataset: as `dataset_name` spells it. label: the method, and where runs of it differ in settings, those settings.
    varied: in which words or draw they differ from the data set's and the papers'; nothing outside sensitivity.
    clip: the CLIP's name, and where two CLIPs share it, the start of its fingerprint. records: one per seed, in their
    order.
    """

    protocol: str
    clip: str
    dataset: str
    method: str
    label: str
    shots: int
    records: tuple[Record, ...]
    varied: tuple[str, ...] = ()

    def rate(self, test: str, figure: str = "accuracy") -> Rate | None:
        """A figure of a test over the seeds; None where no run has that test."""
        return rate_over([getattr(of[test], figure) for of in map(results_of, self.records) if test in of])

    def over(self, figure: Callable[[Record], float | None]) -> Rate | None:
        """A figure over the runs that have it."""
        return rate_over([value for value in map(figure, self.records) if value is not None])

    def together(self, figure: str) -> Rate | None:
        """A figure of `Together` over the runs that have it."""
        return self.over(lambda record: getattr(record.together, figure) if record.together else None)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, as often as they are there; that of an imported prompt may be unknown."""
        return tuple(record.seed for record in self.records if record.seed is not None)


def group_records(records: Iterable[Record]) -> list[Group]:
    """Sort records into groups: by protocol, CLIP, data set, method, settings and shots, in the order of reports."""
    records = list(records)
    clips, varying = _clip_names(records), _varying_settings(records)
    members: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        key = (_cell(record), record.shots, _spelled(record.settings))
        members[(*key[0], str(key[1]), key[2])].append(record)
    groups = [
        Group(
            protocol=runs[0].protocol,
            clip=clips[runs[0].clip_fingerprint],
            dataset=dataset_name(runs[0].dataset),
            method=runs[0].method,
            label=_label(runs[0], varying[runs[0].protocol, runs[0].method]),
            shots=runs[0].shots,
            records=tuple(sorted(runs, key=lambda record: (record.seed is None, record.seed or 0))),
            varied=runs[0].varied,
        )
        for runs in members.values()
    ]
    return sorted(groups, key=_order)


def dataset_name(name: str) -> str:
    """A data set's name in reports: that of a folder has no slash at its end.

    "digits/" keeps it, because the slash tells the folder from the data set of that name.
    """
    bare = name.rstrip("/")
    return name if bare in ("", *OFFLINE, *OFFLINE_VARIANTS, *PAPER_DATASETS) else bare


def results_of(record: Record) -> dict[str, Figures]:
    """`Record.results`, by the names of tests as reports have them."""
    return {dataset_name(test): figures for test, figures in record.results.items()}


def dataset_order(name: str) -> tuple[int, str]:
    """A key that sorts data sets as the papers do, others after them by name."""
    return (list(PAPER_DATASETS).index(name) if name in PAPER_DATASETS else len(PAPER_DATASETS), name)


def method_order(name: str) -> tuple[int, str]:
    """A key that sorts methods, or labels of theirs: the baselines, the papers' as their tables do, others by name."""
    first = list(dict.fromkeys((*BASELINES, *PAPER_METHODS)))
    method = method_of(name)
    return (first.index(method) if method in first else len(first), name)


def method_of(label: str) -> str:
    """The method of a `Group.label`."""
    return label.partition(",")[0]


def is_zero_shot(record: Record) -> bool:
    """Whether a run learned from no image, whatever its method is called."""
    return record.content.training_images == 0


def spelled(value: Any) -> str:
    """A setting in words."""
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def _order(group: Group) -> tuple[Any, ...]:
    protocol = PROTOCOL_NAMES.index(group.protocol)
    return protocol, group.clip, dataset_order(group.dataset), method_order(group.label), group.shots


def _cell(record: Record) -> tuple[str, ...]:
    """What names a run in a table, beside its shots; runs that agree in it are told apart by their settings."""
    return record.protocol, record.clip_fingerprint, dataset_name(record.dataset), record.method, *record.varied


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _varying_settings(records: Sequence[Record]) -> dict[tuple[str, str], list[str]]:
    """(protocol, method) -> the settings in which runs differ although data set and shots are the same."""
    cells: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        cells[(*_cell(record), record.shots)].append(record)
    varying: dict[tuple[str, str], list[str]] = defaultdict(list)
    for runs in cells.values():
        if len({_spelled(run.settings) for run in runs}) == 1:
            continue
        names = varying[runs[0].protocol, runs[0].method]
        for name in sorted({name for run in runs for name in run.settings}):
            if name not in names and len({_spelled(run.settings.get(name)) for run in runs}) > 1:
                names.append(name)
    return varying


def _label(record: Record, varying: Sequence[str]) -> str:
    settings = [f"{name.replace('_', ' ')} {spelled(record.settings.get(name))}" for name in varying]
    return ", ".join([record.method, *settings])


def _clip_names(records: Sequence[Record]) -> dict[str, str]:
    """Fingerprint -> a name that no other CLIP has."""
    names: dict[str, str] = {}
    for record in records:
        names.setdefault(record.clip_fingerprint, record.clip)
    shared = [name for name in names.values() if list(names.values()).count(name) > 1]
    return {mark: f"{name} ({mark[:8]})" if name in shared else name for mark, name in names.items()}
