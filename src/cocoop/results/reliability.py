"""The parts of a record that say how well probabilities fit; declared as those of `schema.py` are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cocoop.results.typed import Check, Count, Percent, Probability


@dataclass(frozen=True, kw_only=True)
class CalibrationFigures:
    """How well probabilities fit labelled images.

    accuracy, expected_calibration_error: as in `Figures`. classwise_calibration_error: see the function of this name;
    None in formats before 5. negative_log_likelihood: the mean over the images, in nats.
    """

    accuracy: Percent
    expected_calibration_error: Percent
    classwise_calibration_error: Percent | None
    negative_log_likelihood: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One temperature, which the logits are divided by; Guo et al. 2017.

    temperature: above 0. interval: its 95 % interval, low and high, as the images tell it.
    images, classes: how many it was fitted on; none of the images was learned from.
    dataset: whose images; None for lists of images. part: which of them: the "val" split, those of "train" that were
    not learned from, or a random "half" of all that were not; None for lists.
    others: how many other images, of the test split or the other half, `before` and `after` are about; 0 and None
    where none were given.
    """

    temperature: Annotated[float, Check(lambda number: number > 0, "above 0")]
    interval: tuple[float, ...]
    images: int
    classes: int
    dataset: str | None = None
    part: Literal["val", "train", "half"] | None = None
    others: int = 0
    before: CalibrationFigures | None = None
    after: CalibrationFigures | None = None


CalibrationWay = Literal["temperature", "dac"]
"""How probabilities of base-to-new are calibrated: by one temperature, or by that and the distances of new classes."""


@dataclass(frozen=True, kw_only=True)
class ConformalSets:
    """Sets of classes that are to hold an image's own class with a stated probability, on one test.

    covered: percent of the images whose set holds their class. size: the mean number of classes in a set.
    """

    covered: Percent
    size: Annotated[float, Check(lambda number: number >= 0, "0 or more")]


@dataclass(frozen=True, kw_only=True)
class Fits:
    """How well probabilities fit the images of one test of base-to-new.

    plain: as they are. temperature: with the logits divided by one temperature. dac: and the logits of an image that is
    called a new class scaled by that class's distance. sets: conformal ones. None where not asked for.
    """

    plain: CalibrationFigures
    temperature: CalibrationFigures | None = None
    dac: CalibrationFigures | None = None
    sets: ConformalSets | None = None


@dataclass(frozen=True, kw_only=True)
class HeldOutFit:
    """What was fitted on images of base classes that were neither learned from nor scored.

    images: how many. part: which: of the "val" split, or of those of "train" that were not learned from.
    temperature: what logits are divided by; None where not asked for, or where none fits best, because all of the
    images are classified as labelled, or hardly any. interval: its 95 % interval, low and high, or empty.
    coverage: the probability with which conformal sets are to hold the class; None where not asked for.
    threshold: the least probability of a class in a set, 0..1; None without sets.
    """

    images: Count
    part: Literal["val", "train"]
    temperature: float | None = None
    interval: tuple[float, ...] = ()
    coverage: Probability | None = None
    threshold: Probability | None = None


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How far probabilities of a run of base-to-new can be relied on.

    tests: of "base", "new" and "together". fit: what was fitted for them; None where nothing was.
    """

    tests: dict[str, Fits]
    fit: HeldOutFit | None = None
