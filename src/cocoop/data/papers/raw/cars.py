"""StanfordCars: MATLAB files of the devkit, and cars_test_annos_withlabels.mat."""

import re
from pathlib import Path

from cocoop.data.examples import Example
from cocoop.data.papers.raw import SPLIT_SEED, RawData
from cocoop.data.papers.raw.mat import mat_number, mat_text, read_mat
from cocoop.data.papers.raw.text import at, label_by_number
from cocoop.data.split import hold_out
from cocoop.errors import InputError


def read_stanford_cars(base: Path, images: Path) -> RawData:
    """Read the training and the test annotations: fields "fname" and "class", a number from 1.

    The class names of cars_meta.mat get their year in front: "Acura RL Sedan 2012" is "2012 Acura RL Sedan".
    The official test images are the test split; 20 % of every class of the others are held out as val.
    Source: CoOp:datasets/stanford_cars.py @ ff61507c.
    """
    meta = base / "devkit" / "cars_meta.mat"
    names = [_year_first(mat_text(cell, str(meta)), meta) for cell in read_mat(meta, "class_names")]
    annotations = base / "devkit" / "cars_train_annos.mat"
    trainval = _examples(annotations, images / "cars_train", names)
    test = _examples(base / "cars_test_annos_withlabels.mat", images / "cars_test", names)
    with at(annotations):
        train, val = hold_out(trainval, SPLIT_SEED)
    return (train, val, test), names


def _year_first(name: str, meta: Path) -> str:
    match = re.fullmatch(r"(.+) (\d{4})", name)
    if match is None:
        raise InputError(f'{meta}: expected class names that end with a year, "Acura RL Sedan 2012"; got {name!r}.')
    return f"{match[2]} {match[1]}"


def _examples(path: Path, images: Path, names: list[str]) -> list[Example]:
    examples = []
    for index, entry in enumerate(read_mat(path, "annotations", fields=("class", "fname"))):
        where = f"{path}, annotations[{index}]"
        label = label_by_number(where, mat_number(entry["class"], where), names)
        examples.append(Example(images / mat_text(entry["fname"], where), label, names[label]))
    return examples
