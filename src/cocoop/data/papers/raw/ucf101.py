"""UCF101: the middle frames of its videos, by classInd.txt, trainlist01.txt and testlist01.txt."""

import re
from pathlib import Path

from cocoop.data.examples import Example
from cocoop.data.papers.raw import SPLIT_SEED, RawData
from cocoop.data.papers.raw.text import NUMBER, at, label_by_name, names_by_number, read_fields
from cocoop.data.split import hold_out
from cocoop.errors import InputError

_LINE = rf"([^/\s]+)/([^/\s]+)\.avi(?: {NUMBER})?"
_FORM = '"ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1"'


def read_ucf101(base: Path, images: Path) -> RawData:
    """Class and image folder of "ApplyEyeMakeup" are "Apply_Eye_Makeup"; its label is its number in classInd.txt - 1.

    A video's image has its file name with .jpg for .avi. Videos of testlist01.txt are the test split; 20 % of
    every class of trainlist01.txt are held out as val. The class numbers in trainlist01.txt are not needed.
    Source: CoOp:datasets/ucf101.py @ ff61507c.
    """
    lists = base / "ucfTrainTestlist"
    listed_in = lists / "classInd.txt"
    fields = read_fields(listed_in, rf"({NUMBER}) (\S+)", '"1 ApplyEyeMakeup"')
    actions = names_by_number(listed_in, {int(number): action for number, action in fields})
    labels = {action: label for label, action in enumerate(actions)}
    names = [_words(action, listed_in) for action in actions]

    def examples(path: Path) -> list[Example]:
        videos = read_fields(path, _LINE, _FORM)
        listed = ((label_by_name(path, action, labels, listed_in), video) for action, video in videos)
        return [Example(images / names[label] / f"{video}.jpg", label, names[label]) for label, video in listed]

    trainval = examples(lists / "trainlist01.txt")
    test = examples(lists / "testlist01.txt")
    with at(lists / "trainlist01.txt"):
        train, val = hold_out(trainval, SPLIT_SEED)
    return (train, val, test), names


def _words(action: str, listed_in: Path) -> str:
    words = re.findall(r"[A-Z][^A-Z]*", action)
    if "".join(words) != action:
        raise InputError(f"{listed_in}: expected names in CamelCase, such as ApplyEyeMakeup; got {action!r}.")
    return "_".join(words)
