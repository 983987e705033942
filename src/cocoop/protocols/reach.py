"""Which trials cannot be: methods that are bound to the classes they learned, tested on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cocoop.data import Dataset
from cocoop.errors import InputError
from cocoop.methods import METHODS
from cocoop.protocols.plan import Trial
from cocoop.protocols.selection import Selection


def out_of_reach(trials: Sequence[Trial], datasets: Mapping[str, Dataset]) -> list[Trial]:
    """Those whose method is bound to its classes, and which test it on others."""
    data = Selection(datasets)
    return [trial for trial in trials if _bound(trial) and _others(trial, data)]


def check_reach(trials: Sequence[Trial], data: Selection) -> None:
    """Raise `InputError` for trials that are out of reach; it names all their methods."""
    lost = [trial for trial in trials if _bound(trial) and _others(trial, data)]
    if lost:
        first, methods = lost[0], ", ".join(dict.fromkeys(trial.method for trial in lost))
        raise InputError(
            f"methods: expected ones that take new classes, because {first.protocol} tests what is learned on "
            f"{first.dataset} on others ({_others(first, data)[0]}); got {methods}, bound to the classes learned. "
            "Leave them out, or take few-shot."
        )


def _bound(trial: Trial) -> bool:
    method = METHODS.get(trial.method)
    return method is not None and method.bound is not None


def _others(trial: Trial, data: Selection) -> list[str]:
    """The tests of a trial with other classes than it learns."""
    learned = data.part(trial.dataset, trial.classes).class_names
    return [test.name for test in trial.tests if data.part(test.dataset, test.classes).class_names != learned]
