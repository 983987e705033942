"""How far probabilities of base-to-new can be relied on, as tables: calibration errors, and conformal sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import get_args

from cocoop.reports.cells import Cell, Rate, Table
from cocoop.reports.groups import Group
from cocoop.results import CalibrationFigures, CalibrationWay, Fits, Record

_TESTS = ("base", "new", "together")

_ON_CALIBRATION = (
    "Expected calibration error of 15 bins, percent: of the top class, and class-wise, the mean over the classes of "
    "that of each class's probability. Together: into the classes of both halves."
)
_ON_WAYS = (
    "temperature: logits divided by the number that fits held-out images of base classes best, none of them learned "
    "from or scored. dac: and the logits of an image that is called a new class scaled by that class's distance from "
    "the base classes, with learned prompts and with hand-written ones."
)
_ON_SETS = (
    "Sets of classes whose threshold was taken from held-out images of base classes, none of them learned from or "
    "scored. Covered: percent of the images whose set holds their class; size: the mean number of classes in a set.",
    "The stated coverage is guaranteed for base classes alone, on average over them, and as far as held-out and test "
    "images are exchangeable (drawn alike, in the same shares of classes). For new classes, and for both together, "
    "nothing is guaranteed: what stands there was measured.",
)


def reliability_tables(title: str, groups: Sequence[Group], ci95: bool = False) -> list[Table]:
    """Calibration errors of base, new and both together, by each way that there is; and conformal sets.

    Args:
        title: the end of the tables' titles, such as "16 shots, tiny".
        groups: of base-to-new, one CLIP and number of shots, in the order of rows; older runs have no such figures.
        ci95: as in `protocol_tables`.
    """
    groups = [group for group in groups if any(record.reliability for record in group.records)]
    tables = [_calibration(title, groups), *(_sets(title, groups, coverage) for coverage in _coverages(groups))]
    return [replace(table, spread="ci95" if ci95 else "std") for table in tables if table.rows]


def _calibration(title: str, groups: Sequence[Group]) -> Table:
    ways = ("plain", *get_args(CalibrationWay))
    errors = ("expected_calibration_error", "classwise_calibration_error")
    rows = []
    for group in groups:
        for way in ways:
            rates = [group.over(partial(_error, test, way, error)) for error in errors for test in _TESTS]
            if any(rates):
                rows.append((group.dataset, group.label, way, *_known(group, rates)))
    header = ("data set", "method", "probabilities", *_TESTS, *(f"{test} class-wise" for test in _TESTS))
    on_ways = (_ON_WAYS,) if any(row[2] != "plain" for row in rows) else ()
    notes = (_ON_CALIBRATION, *on_ways, *_unfitted(groups))
    return _table(f"Calibration, {title}", header, rows, groups, notes)


def _sets(title: str, groups: Sequence[Group], coverage: float) -> Table:
    """Of the runs whose sets are to have this coverage."""
    asked = [group for group in groups if coverage in map(_coverage, group.records)]
    columns: list[Callable[[Fits], float | None]] = [
        lambda fits: fits.sets.covered if fits.sets else None,
        lambda fits: fits.sets.size if fits.sets else None,
    ]
    rows = []
    for group in asked:
        rates = [group.over(partial(_figure, test, column)) for test in _TESTS for column in columns]
        rows.append((group.dataset, group.label, *_known(group, rates)))
    header = ("data set", "method", *(f"{test} {what}" for test in _TESTS for what in ("covered", "size")))
    return _table(f"Conformal sets of {100 * coverage:g} %, {title}", header, rows, asked, _ON_SETS)


def _table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[Cell]], groups: Sequence[Group], notes: Sequence[str]
) -> Table:
    if not groups:
        return Table(header, ())
    return Table(header, tuple(rows), title, groups[0].protocol, notes, clip=groups[0].clip)


def _error(test: str, way: str, error: str, record: Record) -> float | None:
    def of(fits: Fits) -> float | None:
        figures: CalibrationFigures | None = getattr(fits, way)
        return None if figures is None else getattr(figures, error)

    return _figure(test, of, record)


def _figure(test: str, of: Callable[[Fits], float | None], record: Record) -> float | None:
    fits = record.reliability.tests.get(test) if record.reliability else None
    return None if fits is None else of(fits)


def _known(group: Group, rates: Sequence[Rate | None]) -> Iterator[Cell]:
    """The rates; blank where a method that takes no new classes cannot have one."""
    bound = not any("new" in record.results for record in group.records)
    return ("" if rate is None and bound else rate for rate in rates)


def _coverage(record: Record) -> float | None:
    fit = record.reliability.fit if record.reliability else None
    return fit.coverage if fit else None


def _coverages(groups: Sequence[Group]) -> list[float]:
    found = {_coverage(record) for group in groups for record in group.records}
    return sorted(coverage for coverage in found if coverage is not None)


def _unfitted(groups: Sequence[Group]) -> Iterator[str]:
    """Runs that were to be calibrated, and whose held-out images did not say how."""
    without = [
        f"{group.label} on {group.dataset}, seed {record.seed} ({record.reliability.fit.images} images)"
        for group in groups
        for record in group.records
        if record.reliability and record.reliability.fit and record.content.trial
        if record.content.trial.calibration and record.reliability.fit.temperature is None
    ]
    if without:
        yield (
            "No temperature fits best, because all held-out images are classified as labelled, hardly any, or too few "
            f"are there: {'; '.join(without)}."
        )
