"""The runs that are served, on CLIPs that are loaded once, and what they answer."""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cocoop.clip import CLIP
from cocoop.clip.text.memory import give_back_freed_memory
from cocoop.data import ImageError
from cocoop.errors import CocoopError, InputError, expect_choice
from cocoop.features import EncodedRow
from cocoop.fitting import load_clip
from cocoop.methods import BASELINE, METHODS
from cocoop.results import Parameters, read_run
from cocoop.rgb import chosen_exif
from cocoop.serving import Named, Prediction, Predictor, is_exported
from cocoop.sharing import found_run

WAYS = ("exact", "tangent", "zero-shot")
"""How a picture can be classified: by the learned prompt as it is, by its first-order expansion, or without it."""

_CPU = torch.device("cpu")  # where pictures are decoded, whatever the CLIP is on
_LISTS = 4  # class lists as long as one may be, of which encoded prompts are kept


class Question(NamedTuple):
    """Pictures to classify with a run.

    classes: other ones than the run's, or None. ways: of `WAYS`. pictures: their names, and the bytes of their files.
    """

    run: str
    classes: tuple[str, ...] | None
    ways: tuple[str, ...]
    pictures: tuple[Named, ...]

    @property
    def size(self) -> int:
        """How many pictures."""
        return len(self.pictures)

    def parts(self, most: int) -> list[Question]:
        """The same in questions of at most so many pictures: those that nobody waits for any more are not begun."""
        starts = range(0, self.size, most)
        return [self._replace(pictures=self.pictures[start : start + most]) for start in starts]


class Answer(NamedTuple):
    """Way -> a prediction for each picture, with all classes in `top`; and how they were computed, or None."""

    rows: dict[str, list[Prediction]]
    inference: dict[str, str | None]


@dataclass
class ServedRun:
    """A run that can be asked.

    ways: those that it has -> None, or why it has not. bound: why it takes no other classes, or None. parameters: to
    learn again with; None of an exported model, as its clip. learned: whether it was learned here.
    """

    name: str
    folder: Path
    clip: CLIP | None
    method: str
    classes: tuple[Any, ...]
    ways: dict[str, str | None] = field(default_factory=dict)
    bound: str | None = None
    parameters: Parameters | None = None
    learned: bool = False

    @property
    def clip_name(self) -> str:
        """Of its CLIP; of an exported model "exported"."""
        return "exported" if self.clip is None else self.clip.name

    @property
    def learns(self) -> bool:
        """Whether it can be learned again."""
        return self.parameters is not None and METHODS[self.method].learns()

    @property
    def able(self) -> list[str]:
        """The ways that it has."""
        return [way for way, refusal in self.ways.items() if refusal is None]


class Models:
    """Runs by name, and their predictors by class list, of which the least lately used give way.

    Used by one thread at a time; but any may read `runs` and ask for a `run`: the dict is replaced, and never changed.

    Args:
        clip: what `CLIP.load` takes, if the runs' CLIPs lie elsewhere now. tokenizer: the same for theirs.
        machine: device, dtype and memory_budget, as `CLIP.load` takes them.
        most_classes: of one list.
    """

    def __init__(self, clip: str | None, tokenizer: str | None, machine: Mapping[str, Any], most_classes: int) -> None:
        self.clip, self.tokenizer, self.machine, self.most_classes = clip, tokenizer, dict(machine), most_classes
        self.runs: dict[str, ServedRun] = {}
        self._clips: dict[tuple[str, str | None], CLIP] = {}
        self._predictors: OrderedDict[tuple[str, tuple[str, ...] | None, str], Predictor] = OrderedDict()

    def add(self, place: str | os.PathLike[str], learned: bool = False) -> ServedRun:
        """Load a run folder, one of the hub, or what `cocoop export` wrote. `InputError` as `Predictor.load`."""
        folder = Path(os.path.abspath(found_run(place)))
        name = self._new_name(folder.name if os.path.lexists(place) else os.fspath(place))  # of the hub by its id there
        if is_exported(str(folder)):
            run = ServedRun(name, folder, None, "exported", ())
        else:
            config = read_run(folder).config
            clip, parameters = self._loaded(config.parameters), config.parameters
            run = ServedRun(name, folder, clip, parameters.method, tuple(config.classes), parameters=parameters)
        run.learned = learned
        try:
            exact = self.predictor(run, None, "exact")
            run.classes, run.bound = exact.classes_, exact.bound_
            run.ways = {way: self._refusal(run, way) for way in WAYS}
        except BaseException:
            self._let_go(run)
            raise
        self.runs = {**self.runs, name: run}  # last, so that nobody is told of it before
        return run

    def drop(self, name: str) -> None:
        """Serve a run no longer; one that was learned here is deleted."""
        run = self.runs[name]
        self.runs = {other: kept for other, kept in self.runs.items() if other != name}
        self._let_go(run)

    def _let_go(self, run: ServedRun) -> None:
        for key in [key for key in self._predictors if key[0] == run.name]:
            del self._predictors[key]
        if run.learned:
            shutil.rmtree(run.folder, ignore_errors=True)

    def run(self, name: str | None) -> ServedRun:
        """The run of this name; without one, the first. `InputError` if there is none."""
        runs = self.runs
        name = next(iter(runs)) if name is None else name
        expect_choice("run", name, runs)
        return runs[name]

    def answer(self, questions: Sequence[Question]) -> list[Answer | Exception]:
        """Answer questions: those of one run, list of classes and choice of ways together."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        for number, question in enumerate(questions):
            groups.setdefault(question[:3], []).append(number)
        answers: dict[int, Answer | Exception] = {}
        for numbers in groups.values():
            try:
                answers.update(zip(numbers, self._answered([questions[number] for number in numbers]), strict=True))
            except Exception as error:  # of this group alone
                answers.update(dict.fromkeys(numbers, error))
        give_back_freed_memory(_CPU)  # of large pictures; 0.2 ms where there is none (measured)
        return [answers[number] for number in range(len(questions))]

    def predictor(self, run: ServedRun, classes: tuple[str, ...] | None, way: str) -> Predictor:
        """What answers in this way about these classes. `InputError` where the run cannot."""
        key = run.name, classes, way
        if key not in self._predictors:
            self._predictors[key] = self._made(run, classes, way)
            self._forget()
        self._predictors.move_to_end(key)
        return self._predictors[key]

    def _made(self, run: ServedRun, classes: tuple[str, ...] | None, way: str) -> Predictor:
        most = max(self.most_classes, len(run.classes))
        if classes is not None and run.bound is not None:  # said here without the folder, which is nobody's business
            raise InputError(f"classes: expected those of {run.name}, because {run.bound}; got others. Leave them out.")
        if run.parameters is None and way != "exact":
            raise InputError(f"ways: expected exact alone of {run.name}, an exported model; got {way}. Serve the run.")
        if way == "zero-shot":
            exif = chosen_exif(None, run.parameters.exif) if run.parameters else None  # the same pixels as the run
            return Predictor.zero_shot(run.clip, classes or run.classes, top=most, exif=exif)
        return Predictor.load(run.folder, classes, clip=run.clip, top=most, inference=way)

    def _forget(self) -> None:
        """Let the oldest predictors go, but not those of the runs' own classes."""
        classes, edited = 0, [key for key in self._predictors if key[1] is not None]
        for key in reversed(edited):
            classes += len(self._predictors[key].classes_)
            if classes > _LISTS * len(WAYS) * self.most_classes:
                del self._predictors[key]

    def _answered(self, questions: Sequence[Question]) -> list[Answer]:
        first = questions[0]
        run = self.run(first.run)
        pictures = [named for question in questions for named in question.pictures]
        answer = Answer({}, {})
        for way in first.ways:
            predictor = self.predictor(run, first.classes, way)
            encoded = next(iter(answer.rows.values()), None)
            if encoded is None:
                answer.rows[way] = list(predictor.stream(pictures, processes=0))
            else:
                answer.rows[way] = list(predictor.stream_features([[_encoded(row) for row in encoded]]))
            answer.inference[way] = predictor.inference_
        ends = [sum(question.size for question in questions[: number + 1]) for number in range(len(questions))]
        return [
            Answer({way: rows[end - question.size : end] for way, rows in answer.rows.items()}, answer.inference)
            for question, end in zip(questions, ends, strict=True)
        ]

    def place_of(self, parameters: Parameters) -> tuple[str, str | None]:
        """Where the CLIP of a run lies, and its tokenizer, if that has a place of its own."""
        return self.clip or parameters.clip, self.tokenizer or parameters.tokenizer

    def _loaded(self, parameters: Parameters) -> CLIP:
        place = self.place_of(parameters)
        if place not in self._clips:
            self._clips[place] = load_clip(place[0], tokenizer=place[1], **self.machine)
        return self._clips[place]

    def _refusal(self, run: ServedRun, way: str) -> str | None:
        try:
            if way == "zero-shot" and METHODS.get(run.method) is BASELINE:
                raise InputError(f"{run.name}: expected a learned prompt to compare with zero-shot; it is zero-shot.")
            self.predictor(run, None, way)
        except CocoopError as error:
            return str(error)
        return None

    def _new_name(self, name: str) -> str:
        names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(self.runs) + 2))
        return next(name for name in names if name not in self.runs)


def _encoded(row: Prediction) -> EncodedRow[str]:
    return EncodedRow(row.key, row.feature, None if row.error is None else ImageError(row.error))
