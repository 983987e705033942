"""`cocoop datasets`: list and show data sets, check them on a disk, and write miniatures to try."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.cli.common import AsJson, print_json, read_source
from cocoop.errors import InputError, expect_choice
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.data import Finding

Root = Annotated[
    Path,
    typer.Option("--data-root", metavar="DIR", help="The data root: the folder that holds the data sets' folders."),
]
Name = Annotated[
    str, typer.Argument(help="A name of `cocoop datasets list`, or images of your own, as train takes them.")
]
NameOrAll = Annotated[str, typer.Argument(metavar="NAME|all", help="One of the papers' fifteen data sets, or all.")]
ImagesPerClass = Annotated[
    int, typer.Option(metavar="N", help="Images per class, 4 or more, for train, val and test together.")
]
WithSplitFile = Annotated[
    bool, typer.Option("--split-file", help="Write the split file, too, where the data set has one.")
]


def list_datasets(as_json: AsJson = False) -> None:
    """List all data sets that have a name: the papers' fifteen, and those that need no download.

    A name goes wherever a command takes a data set. Your own images need none: give their folder.

    Examples:
      cocoop datasets list
      cocoop datasets list --json
    """
    from cocoop.data import OFFLINE, OFFLINE_VARIANTS, PAPER_DATASETS
    from cocoop.reports import text_table

    rows = [_facts(name) for name in (*PAPER_DATASETS, *OFFLINE, *OFFLINE_VARIANTS)]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "title", "classes", "train", "val", "test", "template")
    print(text_table(columns, [[row[column] for column in columns] for row in rows]))
    note(f"no download needed: {', '.join(OFFLINE)}, and what is called after them")


def show(name: Name, as_json: AsJson = False) -> None:
    """Show what a data set is, where to get it, how it has to lie on the disk, and how its classes get their names.

    Of images of your own: the classes, how many images of each are in which split, and what is left out.

    Examples:
      cocoop datasets show oxford_pets
      cocoop datasets show shapes_sketch
      cocoop datasets show photos/
    """
    from cocoop.data import GUIDES, OFFLINE, OFFLINE_VARIANTS, PAPER_DATASETS, layout_tree
    from cocoop.reports import text_table

    named = (*PAPER_DATASETS, *OFFLINE, *OFFLINE_VARIANTS)
    if name not in named:
        if not os.path.exists(name) and not name.startswith("hf:"):
            raise InputError(
                f"data set: expected one of {', '.join(named)}, or images of your own; got {name!r}, where there is no "
                "file or folder. Check the name."
            )
        _show_own(name, as_json)
        return
    facts = _facts(name)
    if as_json:
        print_json(facts)
        return
    print(f"{facts['title']} ({name}): {facts['about']}\n")
    if name in GUIDES:
        print(f"Where to get it: {facts['homepage']}")
        if PAPER_DATASETS[name].split_file:
            print("Its split file: linked from DATASETS.md of https://github.com/KaiyangZhou/CoOp")
        print(f"\nBelow the data root:\n\n{layout_tree(name)}\n\nClass names: {GUIDES[name].naming}")
    else:
        print("Nothing to get: it is written on first use, below the data root or else a cache folder.")
    print(f"Prompt: {facts['template']}\n")
    keys = ("classes", "base_classes", "new_classes", "train", "val", "test")
    labels = ("classes", "base classes", "new classes", "train images", "val images", "test images")
    print(text_table(["", "number"], [[label, facts[key]] for label, key in zip(labels, keys, strict=True)]))


def _show_own(source: str, as_json: bool) -> None:
    from cocoop.reports import text_table

    dataset = read_source(source, None, None)
    splits = ("train", "val", "test")
    counts = {split: Counter(example.label for example in getattr(dataset, split)) for split in splits}
    rows: list[dict[str, Any]] = [
        {"class": name, **{split: counts[split][label] for split in splits}}
        for label, name in enumerate(dataset.class_names)
    ]
    if as_json:
        print_json({"name": dataset.name, "classes": rows, "notes": dataset.notes})
        return
    print(text_table(["class", *splits], [list(row.values()) for row in rows]))


def check(name: NameOrAll, root: Root, as_json: AsJson = False) -> None:
    """Tell what of a data set is missing or miscounted on this disk.

    Looks for folders, annotation files, the numbers of classes and images, and every image that the split lists; opens
    no image. Exit code 0 if nothing is wrong, else 1.

    Examples:
      cocoop datasets check oxford_pets --data-root data
      cocoop datasets check all --data-root data
    """
    from cocoop.data import check_dataset
    from cocoop.progress import progress

    names = _names(name)
    if not os.path.isdir(root):
        raise InputError(f"--data-root: expected the data root; there is no folder {root}. Check the path.")
    findings = [
        (name, finding)
        for name in progress(names, "checking", unit=" data sets")
        for finding in check_dataset(name, root)
    ]
    if as_json:
        print_json([{"name": name, **_as_row(finding, root)} for name, finding in findings])
    else:
        _print_findings(findings, names, root)
    if not all(finding.note for _, finding in findings):
        note("`cocoop datasets show NAME` tells how a data set has to lie on the disk")
        raise typer.Exit(1)


def sample(name: NameOrAll, root: Root, images: ImagesPerClass = 12, split_file: WithSplitFile = False) -> None:
    """Write a miniature of a data set in its exact layout, with drawings for images, to try commands without the data.

    4 to 12 of its classes, one shape in one colour for each. Nothing is overwritten. Figures on it mean nothing.

    Examples:
      cocoop datasets sample oxford_pets --data-root miniatures
      cocoop datasets sample all --data-root miniatures --split-file
    """
    from cocoop.data import PAPER_DATASETS, write_miniature

    names = _names(name)
    folders = [PAPER_DATASETS[name].folder for name in names]
    there = [folder for folder in folders if os.path.lexists(root / folder)]
    if there:
        raise InputError(
            f"--data-root: expected a folder without {', '.join(there)}, because data are never overwritten; got "
            f"{root}. Give another."
        )
    for name in names:
        print(write_miniature(name, root, images, split_file))
    note(f"try: {_trial(names[0], root)}")


def _names(name: str) -> list[str]:
    from cocoop.data import PAPER_DATASETS

    expect_choice("data set", name, (*PAPER_DATASETS, "all"))
    return list(PAPER_DATASETS) if name == "all" else [name]


def _facts(name: str) -> dict[str, Any]:
    """The facts of `list` and `show`; a size is None where the data set has no such split."""
    from cocoop.data import GUIDES, OFFLINE_ABOUT, PAPER_DATASETS, list_offline_dataset

    if name in PAPER_DATASETS:
        row = PAPER_DATASETS[name]
        title, about, homepage = row.title, GUIDES[name].about, row.homepage
        classes, template, sizes = row.classes, row.template, row.sizes._asdict()
    else:
        dataset = list_offline_dataset(name, Path())
        family, _, shift = name.partition("_")
        title, homepage = f"{family.capitalize()}{shift and f', {shift}'}", None
        about = f"The test of {family}, shifted: {shift}." if shift else OFFLINE_ABOUT[name]
        classes, template = len(dataset.class_names), dataset.template
        sizes = {part: len(getattr(dataset, part)) for part in ("train", "val", "test")}
    return {
        "name": name,
        "title": title,
        "about": about,
        "homepage": homepage,
        "classes": classes,
        "base_classes": (classes + 1) // 2,
        "new_classes": classes // 2,
        **{part: size or None for part, size in sizes.items()},
        "template": template,
    }


def _as_row(finding: Finding, root: Path) -> dict[str, Any]:
    return {**finding._asdict(), "where": finding.where.relative_to(root).as_posix()}


def _print_findings(findings: Sequence[tuple[str, Finding]], names: Sequence[str], root: Path) -> None:
    from cocoop.reports import text_table

    columns = ("what", "where", "expected", "got")
    rows = [
        [name, *(str(_as_row(finding, root)[column]) for column in columns), "note" if finding.note else "wrong"]
        for name, finding in findings
    ]
    if rows:
        print(text_table(["data set", *columns, "kind"], rows))
    wrong = {name for name, finding in findings if not finding.note}
    whole = [name for name in names if name not in wrong]
    if whole:
        print(f"nothing missing or miscounted: {', '.join(whole)}")


def _trial(name: str, root: Path) -> str:
    """A command that runs on the miniature; what it learns from is written first, if it is not there."""
    from cocoop.data import IMAGENET_VARIANTS

    where, first = shlex.quote(str(root)), ""
    if name in IMAGENET_VARIANTS:
        options = f"domain-generalization --datasets imagenet --targets {name}"
        if not os.path.isdir(root / "imagenet"):
            first = f"cocoop datasets sample imagenet --data-root {where} && "
    else:
        options = f"base-to-new --datasets {name}"
    return (
        f"{first}cocoop benchmark {options} --data-root {where} --clip tiny --shots 2 --seeds 1 --epochs 1 --out trial"
    )
