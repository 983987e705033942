"""The command line that makes runs like those of a report."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from cocoop.data import PAPER_DATASETS
from cocoop.reports.groups import Group, results_of


def run_commands(
    run: str | PathLike[str],
    pictures: str | PathLike[str] = "photos/",
    labelled: Sequence[str] = ("photos/",),
    options: Sequence[str] = (),
) -> list[str]:
    """What to do with a run folder: look at it, classify pictures, score it, explain it, serve it. A shell takes each.

    Args:
        run: the folder.
        pictures: a file, or a folder of them.
        labelled: labelled pictures, as `cocoop evaluate` takes them, with the options that say more of them; none if
            there are no such pictures.
        options: those that loading the run takes.
    """
    place, predictions, page = (_no_option(Path(run) / name) for name in ("", "predictions.csv", "explained.html"))
    commands = [
        ["report", place],
        ["predict", place, _no_option(pictures), "--out", predictions, *options],
        *([["evaluate", place, _no_option(labelled[0]), *labelled[1:], *options]] if labelled else []),
        ["explain", place, _no_option(pictures), "--out", page, *options],
        ["serve", place, *options],
    ]
    return [shlex.join(["cocoop", *words]) for words in commands]


def _no_option(path: str | PathLike[str]) -> str:
    """The path, so that it is not taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def benchmark_command(groups: Sequence[Group]) -> str:
    """`cocoop benchmark ...` for groups of one protocol and CLIP, with the papers' settings; not for own images.

    A record says what a run was, not how it was typed: the place of the data is left to the reader ($DATA), and
    settings that are not the papers' have to be added.
    """
    protocol, datasets = groups[0].protocol, {group.dataset for group in groups}
    learned = [group for group in groups if group.shots] or list(groups)
    options: dict[str, str] = {
        "--clip": groups[0].records[0].clip,
        "--datasets": _listed(group.dataset for group in groups),
        "--methods": _listed(group.method for group in groups),
    }
    if protocol in ("cross-dataset", "domain-generalization"):
        tests = [(group.dataset, test) for group in groups for record in group.records for test in results_of(record)]
        datasets |= {test for _, test in tests}
        options["--targets"] = _listed(test for source, test in tests if test != source)
    if learned[0].shots:
        options["--shots"] = _listed(sorted({group.shots for group in learned}))
        options["--seeds"] = _listed(sorted({seed for group in learned for seed in group.seeds}))
    words = [word for name, value in options.items() if value for word in (name, shlex.quote(value))]
    root = ["--data-root", "$DATA"] if datasets & PAPER_DATASETS.keys() else []
    return " ".join(["cocoop", "benchmark", protocol, *root, *words])


def _listed(values: Iterable[Any]) -> str:
    return ",".join(map(str, dict.fromkeys(values)))
