"""What there is to say of a run and of how it classifies some images, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cocoop.explain.condition import Moved, Shares
from cocoop.explain.evidence import Region
from cocoop.explain.words import Words


@dataclass(frozen=True)
class Prompt:
    """How images are classified with pi, with its mean, or without it.

    name: which. accuracy: percent of the images; None without labels. same: percent that get the class that they get
    with their own pi.
    """

    name: str
    accuracy: float | None
    same: float


@dataclass(frozen=True)
class Explained:
    """One image.

    image: its name. label: its class, if known. predicted, probability: what it is called, 0..1. moved: what the
    condition did, of conditional prompts. evidence: [G][G] the share of each cell of what the model sees in the
    evidence for `predicted`, rows from the top; strongest: the ninth with the most. Both None of images that are not
    shown, and `strongest` where nothing speaks for the class.
    """

    image: str
    label: str | None
    predicted: str
    probability: float
    moved: Moved | None = None
    evidence: list[list[float]] | None = None
    strongest: Region | None = None


@dataclass(frozen=True)
class Unread:
    """An image that could not be read, and why."""

    image: str
    error: str


@dataclass(frozen=True)
class Explanation:
    """What there is to say of a run, and of images.

    run: its place. method, clip: their names. class_names: [K]. words: None without context vectors. shares: how much
    of pi is the same for some images; none without conditional prompts. mean_of: the images whose mean of pi others are
    compared with. prompts: with pi, with its mean, without it. of: which images these are. images: each. shown: the
    numbers of those with evidence. evidence: how it was found. unread: images that could not be read. notes: what does
    not apply, and what to know.
    """

    run: str
    method: str
    clip: str
    class_names: list[str]
    words: Words | None
    shares: tuple[Shares, ...]
    mean_of: str | None
    prompts: tuple[Prompt, ...]
    of: str | None
    images: tuple[Explained, ...]
    shown: tuple[int, ...]
    evidence: str
    unread: tuple[Unread, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, ready for JSON."""
        return asdict(self)
