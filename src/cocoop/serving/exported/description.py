"""What an exported model says of itself: in the metadata of its file, and beside it the classes and the transform."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cocoop.clip import Preprocess
from cocoop.errors import InputError
from cocoop.methods import AGREEMENT, DIFFERENCE
from cocoop.reading import parse_json
from cocoop.results import read_json, write_json
from cocoop.results.typed import Check, MistypedError, from_json
from cocoop.rgb import Exif

KEY = "cocoop"
"""Under which name the metadata of a model's file has its description, as JSON."""

FORMAT = 1
"""Of a description."""

Format = Annotated[int, Check(FORMAT.__eq__, f"{FORMAT}, the format of this version")]

CLASSES, PREPROCESS = "classes.json", "preprocess.json"

Input = Literal["pixels", "image_features"]
"""What a model takes: pixels [B, 3, N, N] as the transform makes them, or unit-norm image features [B, E]; float32."""

OUTPUT = "probabilities"
"""What it gives: probabilities [B, K] float32; rows sum to 1."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The file, read back and run, beside what it was made of here: the CLIP, and the prompt or its tangent head.

    images: random ones, in batches of one and of all. largest_difference: of a probability, 0..1.
    """

    images: int
    largest_difference: float


@dataclass(frozen=True, kw_only=True)
class TangentFigures:
    """A tangent head beside exact inference, on training images: what it loses by knowing no text tower.

    images: how many. anchors: codes that the text features are expanded around. agreement: percent with the same class.
    largest_difference, mean_difference: of a probability over images and classes, and of that of the top class, 0..1.
    """

    images: int
    anchors: int
    agreement: float
    largest_difference: float
    mean_difference: float

    @property
    def passed(self) -> bool:
        """Whether it is as close as is asked of tangent prompts."""
        return self.agreement >= AGREEMENT and self.largest_difference <= DIFFERENCE


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the model is.

    input: see `Input`. head: "linear"; or "tangent", of which "tangent-plain" compares otherwise than by the cosine.
    classes: K. method: its name. temperature: the logits are divided by it; 1 is not calibrated.
    clip, clip_fingerprint: the CLIP of the image features, by name and by what it computes in float32.
    tangent: of a tangent head. verification: None until the file was read back.
    cocoop: the version that wrote it.
    """

    format: Format = FORMAT
    input: Input
    head: Literal["linear", "tangent", "tangent-plain"]
    classes: int
    method: str
    temperature: float
    clip: str
    clip_fingerprint: str
    tangent: TangentFigures | None = None
    verification: Verification | None = None
    cocoop: str

    def to_text(self) -> str:
        """JSON, for a file's metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | None, path: Path) -> Description:
        """What the metadata of a file say. `InputError` where they are missing or of another kind."""
        try:
            return from_json(cls, parse_json(text or "null"))
        except (MistypedError, ValueError) as error:
            raise InputError(
                f"{path}: expected a model that `cocoop export` wrote, with its description in the metadata; got "
                f"another ({error}). Export it anew."
            ) from error


@dataclass(frozen=True, kw_only=True)
class Transform:
    """`preprocess.json`: how a picture becomes pixels; see `Preprocess`, and `cocoop.rgb.as_rgb` for `exif`."""

    size: int
    resize_mode: str
    interpolation: str
    mean: list[float]
    std: list[float]
    exif: Exif

    @classmethod
    def of(cls, preprocess: Preprocess, exif: Exif) -> Transform:
        """The numbers of a transform."""
        return cls(
            size=preprocess.size,
            resize_mode=preprocess.resize_mode,
            interpolation=preprocess.interpolation,
            mean=list(preprocess.mean),
            std=list(preprocess.std),
            exif=exif,
        )

    @property
    def preprocess(self) -> Preprocess:
        """The transform with these numbers."""
        return Preprocess(self.size, self.mean, self.std, self.resize_mode, self.interpolation)


def write_beside(folder: Path, classes: Sequence[Any], transform: Transform) -> None:
    """Write the classes [K] and the transform of a model. `RunError` where the disk refuses."""
    write_json(folder / CLASSES, list(classes))
    write_json(folder / PREPROCESS, asdict(transform))


def read_beside(folder: Path, count: int) -> tuple[list[str | int | float | bool], Transform]:
    """The classes and the transform of a model with K = `count`. `InputError` where they are missing or changed."""
    classes, transform = read_json(folder / CLASSES), read_json(folder / PREPROCESS)
    plain = isinstance(classes, list) and all(isinstance(name, str | int | float) for name in classes)
    if not plain or len(classes) != count:
        raise InputError(
            f"{folder / CLASSES}: expected a list of {count} classes, as the model has; got "
            f"{len(classes) if plain else 'none'}. Export it anew."
        )
    try:
        return classes, from_json(Transform, transform)
    except MistypedError as error:
        raise InputError(
            f"{folder / PREPROCESS}: expected a transform as cocoop writes it; {error}. Export it anew."
        ) from error
