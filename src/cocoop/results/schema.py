"""What a run folder's `record.json`, `config.json` and `metrics.jsonl` hold: these fields, all of them, and no others.

Whatever is added, renamed or dropped here raises `FORMAT`, and `formats.py` learns how to read the format before. So a
field that is missing, unknown or of another type is damage, and an error names it; only what is typed `dict[str, Any]`
(settings, which belong to the methods) is open. Rates are percent, times seconds of a wall clock, memory MB of 10^6
bytes, hashes SHA-256 in hexadecimal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cocoop.results.reliability import Calibration, CalibrationWay, Reliability
from cocoop.results.typed import Check, Count, Percent, Probability

FORMAT = 5
"""Of `record.json` and `config.json`."""

PROTOCOL_NAMES = (
    "base-to-new",
    "cross-dataset",
    "domain-generalization",
    "few-shot",
    "sensitivity",
    "own-images",
)
"""The values of a record's "protocol", in the order of reports."""

ALL_CLASSES = ("few-shot", "sensitivity")
"""The protocols that learn from growing numbers of images of all classes, and test on these."""

Exif = Literal["apply", "ignore", "original"]
Keep = Literal["last", "best"]
ClassWeight = Literal["balanced"] | None

ProtocolName = Annotated[str, Check(PROTOCOL_NAMES.__contains__, f"one of {', '.join(PROTOCOL_NAMES)}")]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """An image whose top class is not its label.

    image: its path. label, predicted: class names. confidence: the top probability, 0..1.
    """

    image: str
    label: str
    predicted: str
    confidence: Probability


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How a model did on one test; the figures are those of `cocoop.evaluation.Metrics`, which has the formulas.

    dataset: whose images; None for lists of images. test_hash: of the images' places, labels and own class names; None
    outside the papers' protocols.
    exif: how the images were opened, see `cocoop.rgb.as_rgb`.
    n: images. classes: those that they were classified into, with images or without; None in formats 1 to 4.
    correct: images whose label is the top class. per_class_accuracy: class name -> percent.
    mistakes: the most confident ones, highest first; empty where only figures were kept.
    """

    dataset: str | None = None
    test_hash: str | None = None
    exif: Exif = "apply"
    n: Count
    classes: Count | None = None
    correct: Count
    accuracy: Percent
    macro_f1: Percent
    mean_per_class_accuracy: Percent
    expected_calibration_error: Percent
    per_class_accuracy: dict[str, Percent]
    mistakes: list[Mistake] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Together:
    """How a model did on base and new classes at once; the figures are those of `measure_together`, which has them.

    base_images, new_images: how many of each.
    """

    base_images: int
    new_images: int
    accuracy: Percent
    base_called_new: Percent
    new_called_base: Percent
    auroc: Percent
    open_world_auc: Percent


@dataclass(frozen=True, kw_only=True)
class Search:
    """Settings of a method that were chosen by their accuracy on validation images.

    images: how many. tried: how many choices. settings: the best choice, of equal ones the first.
    accuracy: with it, on these images. before: with the settings as they were.
    """

    images: Count
    tried: Count
    settings: dict[str, Any]
    accuracy: Percent
    before: Percent


@dataclass(frozen=True)
class TrialTest:
    """What a trial is scored on: the test split of `dataset`, its "base", its "new" or "all" its classes."""

    name: str
    dataset: str
    classes: Literal["all", "base", "new"]


@dataclass(frozen=True)
class TrialRecord:
    """One run of a papers' protocol, as it was asked for: one training and its tests.

    protocol: its name. method: a name in `METHODS`.
    dataset, classes: what it learns from, all its classes or the base half.
    tests: what it is scored on afterwards.
    shots: training images per class; 0 for a method with nothing to learn.
    seed: decides the pick of the images and the training.
    settings: parameters of the classifier and settings of the method; the others stay at the papers' values.
    names: the class names: the data set's "own", or its "plain" ones, see `cocoop.data.plain_names`.
    template: the hand-written prompt; None is the data set's own.
    draw: as many training images of every class ("even"), or as many in all, "lopsided".
    calibration, coverage: what is fitted on held-out base images afterwards; see `Reliability`.
    """

    protocol: ProtocolName
    method: str
    dataset: str
    classes: Literal["all", "base", "new"]
    tests: tuple[TrialTest, ...]
    shots: int
    seed: int
    settings: dict[str, Any]
    names: Literal["own", "plain"] = "own"
    template: str | None = None
    draw: Literal["even", "lopsided"] = "even"
    calibration: CalibrationWay | None = None
    coverage: Probability | None = None

    @property
    def varied(self) -> list[str]:
        """In which words or draw it differs from the data set's and the papers'; nothing of most trials."""
        return [
            *([f"{self.names} names"] if self.names != "own" else []),
            *([f"template {self.template!r}"] if self.template is not None else []),
            *([f"{self.draw} draw"] if self.draw != "even" else []),
        ]


@dataclass(frozen=True)
class Learning:
    """How a prompt was learned.

    epochs: passes over the images. batch_size: images per step. lr: the learning rate at the top of the schedule.
    augment: whether from random crops and flips. views: how many of them were taken in turn; None is one per epoch.
    keep: the epoch whose tensors are kept, the last one or the one with the best accuracy on validation images.
    patience: how many epochs in a row without a better such accuracy ended it. class_weight: of the images in the loss.
    """

    epochs: int
    batch_size: int
    lr: float
    augment: bool
    views: int | None = None
    keep: Keep = "last"
    patience: int | None = None
    class_weight: ClassWeight = None


@dataclass(frozen=True)
class Epoch:
    """A line of `metrics.jsonl`: the figures of one epoch, counted from 0.

    loss: the mean over its steps. accuracy: percent of its training images. seconds: of its steps.
    validation_accuracy: percent of the validation images after its last step; None without such.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: Percent
    seconds: float
    validation_accuracy: Percent | None = None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine and installation that a run was made with.

    python: version. platform: system, release and architecture. processor: its name, as far as the system tells.
    cpu_count: logical cores; None where unknown. packages: name -> installed version, None where missing.
    """

    python: str
    platform: str
    processor: str
    cpu_count: int | None
    packages: dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The file that a prompt was taken from, which another program learned.

    file: its name. sha256: of its bytes. epoch: which it is of; None where it does not say. dtype: of its numbers.
    checked: whether it holds the embeddings of the class names' tokens, and they are this CLIP's.
    """

    file: str
    sha256: str
    epoch: int | None
    dtype: Literal["float16", "bfloat16", "float32", "float64"]
    checked: bool


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """`record.json`: what was learned, from what, with what, and how well it does.

    method: its name. settings: the method's own. learning: how it was trained; None without a training.
    clip: its name. clip_fingerprint: a hash of what it computes. tokenizer: where it is from; None is the CLIP's own.
    class_tokens: a hash of what the tokenizer makes of the class names. device, dtype: of the fit: "cuda:0", "float32".
    A record of format 1 may lack these three, and then they are None.
    seed: of pick and training. shots: images per class; None is all, 0 where there is nothing to learn.
    imported: the file that the prompt was taken from; None where it was learned here, and in formats 1 to 4. Of an
    imported prompt, seed, shots, training_images, dataset and seconds are None where nobody said them, and
    clip_fingerprint, device, dtype and environment are those of the import.
    kept_epoch: the epoch whose tensors these are, counted from 0; None without a training, and in formats 1 and 2.
    classes, training_images, validation_images, trainable_parameters: how many.
    protocol: one of `PROTOCOL_NAMES`. dataset: what it learned from; None for lists of images.
    results: test -> figures. zero_shot: the same of zero-shot CLIP, where it is no run of its own.
    together: of base-to-new, the figures over both halves' classes at once; None elsewhere, and in formats 1 to 3.
    reliability: of base-to-new, how well probabilities fit; None elsewhere, and in formats 1 to 4.
    search: how settings were chosen on the validation images; None where they were given, and in formats 1 to 4.
    seconds: of the fit. peak_memory_mb: of the process; None where the system does not tell. peak_gpu_memory_mb: on
    the GPU; None without one. processes: how many shared each batch; 1 without torchrun, and in formats 1 to 4.
    picked: indices of the training images in the training split. split_hash: of their places and labels; None for open
    images. trained_on: hashes of those that are files. validated_on: of the validation images that are files.
    prompt_from: the run folder, relative to the benchmark's, that the prompt was taken from, with its seconds and
    memory; None where it was learned here. trial: what was asked for; None outside the papers' protocols.
    calibration: how probabilities are calibrated since, if they are; `results` are those of the training.
    """

    format: int = FORMAT
    method: str
    settings: dict[str, Any]
    learning: Learning | None
    kept_epoch: int | None = None
    clip: str
    clip_fingerprint: str
    tokenizer: str | None
    class_tokens: str | None
    device: str | None
    dtype: str | None
    seed: int | None
    shots: int | None
    imported: Imported | None = None
    classes: int
    training_images: int | None
    validation_images: int = 0
    trainable_parameters: int
    protocol: ProtocolName = "own-images"
    dataset: str | None = None
    results: dict[str, Figures] = field(default_factory=dict)
    together: Together | None = None
    reliability: Reliability | None = None
    search: Search | None = None
    zero_shot: dict[str, Figures] = field(default_factory=dict)
    seconds: float | None
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None = None
    processes: Count = 1
    picked: list[int]
    split_hash: str | None
    trained_on: list[str]
    validated_on: list[str] = field(default_factory=list)
    prompt_from: str | None = None
    trial: TrialRecord | None = None
    calibration: Calibration | None = None
    environment: Environment


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The parameters of the classifier that learned, as they were at the fit; its class says what they mean.

    The machine's own (device, dtype, memory_budget, feature_cache, cuda_graph) are not among them. clip, tokenizer: by
    name or absolute path; None is a tokenizer of the CLIP's own, or one that was given as an object. seed: None of an
    imported prompt whose seed nobody said.
    """

    method: str
    clip: str
    settings: dict[str, Any] | None
    shots: int | None
    seed: int | None
    epochs: int | None
    batch_size: int | None
    lr: float | None
    augment: bool | str
    views: int | None
    view_seed: int | None
    exif: Exif
    tokenizer: str | None
    keep: Keep
    patience: int | None
    class_weight: ClassWeight
    search: bool


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """`config.json`: all that building the method again takes, beside its tensors.

    class_names: [K] texts that the prompts have. classes: [K] the labels that predictions are, as they were given.
    settings: keywords of the method's constructor, all of them. parameters: to fit again.
    """

    format: int = FORMAT
    class_names: list[str]
    classes: list[str | int | float | bool]
    settings: dict[str, Any]
    parameters: Parameters
