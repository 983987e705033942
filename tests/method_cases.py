"""A registered method with some of its settings, and all of such: what `method_contract` checks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cocoop import CLIP, METHODS, InputError, Method, PromptClassifier

NAMES = ["seven", "wild_goose", "one", "three (3)"]


@dataclass(frozen=True)
class Case:
    """A registered method with some settings, on a CLIP whose tokenizer knows every text."""

    name: str
    clip: CLIP = field(repr=False)
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{name}={value}" for name, value in self.settings.items())])

    @property
    def method(self) -> type[Method]:
        return METHODS[self.name]

    def build(self, names: Sequence[str] = NAMES, clip: CLIP | None = None) -> Method:
        """The method before it learns anything; every time the same."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return self.method(clip or self.clip, names, **self.settings)

    def classifier(self, **parameters: Any) -> PromptClassifier:
        """One that learns from all photos at once in every step, so that its loss can only fall.

        `parameters` are of a training, if the method has one.
        """
        training = {"epochs": 4, "batch_size": 9} | parameters if self.method.recipe else {}
        return PromptClassifier(self.name, self.clip, dict(self.settings), shots=3, seed=1, augment=False, **training)

    def images(self, clip: CLIP | None = None) -> Tensor:
        """Unit-norm features [5, E]."""
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(5, self.clip.embed_dim, generator=generator, dtype=torch.float64)
        features /= features.norm(dim=1, keepdim=True)
        return features.to(torch.promote_types((clip or self.clip).dtype, torch.float32))


def cases(name: str, clip: CLIP) -> list[Case]:
    """The method with every combination of the choices that it has."""
    choices = {setting: choices_of(name, setting, clip) for setting in METHODS[name].setting_defaults()}
    varied = {setting: values for setting, values in choices.items() if values}
    return [Case(name, clip, dict(zip(varied, some, strict=True))) for some in itertools.product(*varied.values())]


def choices_of(name: str, setting: str, clip: CLIP) -> list[Any]:
    """What a setting may be, if that is a bool or one of a few texts; else nothing."""
    default = METHODS[name].setting_defaults()[setting]
    if isinstance(default, bool):
        return [default, not default]
    if not isinstance(default, str):
        return []
    try:
        METHODS[name](clip, NAMES, **{setting: "no such choice"})
    except InputError as error:
        listed = re.match(rf"{setting}: expected one of (.+); got 'no such choice'", str(error))
        return listed[1].split(", ") if listed else []
    return []
