"""What the papers report, to stand beside one's own figures.

Accuracy in percent, ViT-B/16, 16 shots, mean of 3 seeds: Zhou et al., "Conditional Prompt Learning for
Vision-Language Models", CVPR 2022, tables 1-3, as later papers reprint them (arXiv 2410.12183, table 1, among others).
The paper gives no spread over seeds. Its averages and harmonic means follow from these figures (see
tests/results/test_published.py), so they are computed, not kept. It has no zero-shot CLIP in table 2, and its few-shot
figure is on another CLIP.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cocoop.results.schema import ALL_CLASSES

SHOTS = 16
"""Training images per class of every published figure."""

CLIP = "OpenAI's ViT-B/16"
"""The CLIP of every published figure."""

PAPER_METHODS = ("zero-shot", "coop", "cocoop")
"""The methods of the papers, in the order of their tables."""

# Data set: base and new accuracy of each of `PAPER_METHODS`.
_BASE_TO_NEW = {
    "imagenet": ((72.43, 68.14), (76.47, 67.88), (75.98, 70.43)),
    "caltech101": ((96.84, 94.00), (98.00, 89.81), (97.96, 93.81)),
    "oxford_pets": ((91.17, 97.26), (93.67, 95.29), (95.20, 97.69)),
    "stanford_cars": ((63.37, 74.89), (78.12, 60.40), (70.49, 73.59)),
    "oxford_flowers": ((72.08, 77.80), (97.60, 59.67), (94.87, 71.75)),
    "food101": ((90.10, 91.22), (88.33, 82.26), (90.70, 91.29)),
    "fgvc_aircraft": ((27.19, 36.29), (40.44, 22.30), (33.41, 23.71)),
    "sun397": ((69.36, 75.35), (80.60, 65.89), (79.74, 76.86)),
    "dtd": ((53.24, 59.90), (79.44, 41.18), (77.01, 56.00)),
    "eurosat": ((56.48, 64.05), (92.19, 54.74), (87.49, 60.04)),
    "ucf101": ((70.53, 77.50), (84.69, 56.05), (82.33, 73.45)),
}

# Data set: accuracy of CoOp and CoCoOp after learning on ImageNet.
_CROSS_DATASET = {
    "imagenet": (71.51, 71.02),
    "caltech101": (93.70, 94.43),
    "oxford_pets": (89.14, 90.14),
    "stanford_cars": (64.51, 65.32),
    "oxford_flowers": (68.71, 71.88),
    "food101": (85.30, 86.06),
    "fgvc_aircraft": (18.47, 22.94),
    "sun397": (64.15, 67.36),
    "dtd": (41.92, 45.73),
    "eurosat": (46.39, 45.37),
    "ucf101": (66.55, 68.21),
}

# Data set: accuracy of zero-shot CLIP, and of CoOp and CoCoOp after learning on ImageNet.
_DOMAIN_GENERALIZATION = {
    "imagenet": (66.73, 71.51, 71.02),
    "imagenetv2": (60.83, 64.20, 64.07),
    "imagenet_sketch": (46.15, 47.99, 48.75),
    "imagenet_a": (47.77, 49.71, 50.63),
    "imagenet_r": (73.96, 75.21, 76.18),
}


# (protocol, data set that was learned from, test, method) -> accuracy.
_FIGURES = {
    **{
        ("base-to-new", dataset, half, method): value
        for dataset, pairs in _BASE_TO_NEW.items()
        for method, pair in zip(PAPER_METHODS, pairs, strict=True)
        for half, value in zip(("base", "new"), pair, strict=True)
    },
    **{
        (protocol, "imagenet", dataset, method): value
        for protocol, methods, rows in (
            ("cross-dataset", ("coop", "cocoop"), _CROSS_DATASET),
            ("domain-generalization", PAPER_METHODS, _DOMAIN_GENERALIZATION),
        )
        for dataset, values in rows.items()
        for method, value in zip(methods, values, strict=True)
    },
}


def published(protocol: str, source: str, test: str, method: str) -> float | None:
    """The published accuracy in percent, None where the papers have none.

    Args:
        protocol: one of `PROTOCOL_NAMES`.
        source: the data set that was learned from.
        test: the test's name in a record: "base", "new", "test", or a data set.
        method: the method's name in a record; the papers have those of `PAPER_METHODS`.
    """
    return _FIGURES.get((protocol, source, test, method))


class Average(NamedTuple):
    """Published accuracy of base-to-new, averaged over the paper's eleven data sets; percent.

    source: who printed it. rerun: whether those are others than the method's authors, who ran it themselves.
    """

    base: float
    new: float
    h: float
    source: str
    rerun: bool = False


AVERAGES = {
    "kgcoop": Average(80.73, 73.60, 77.00, "the README of KgCoOp's repository @ c43ccc32"),
    "prograd": Average(82.48, 70.75, 76.16, "the README of KgCoOp's repository @ c43ccc32", rerun=True),
    "tcp": Average(84.13, 75.36, 79.51, "the README of TCP's repository @ bd97bec6"),
}
"""Later methods, on the same CLIP, with the same shots and seeds as the figures above."""

_EPOCHS_OF_FEWER = {"coop": ((1, 50), (4, 100)), "prograd": ((1, 50), (4, 100)), "taskres": ((4, 100),)}
"""Method -> up to so many shots, and the epochs with which its paper then learns instead of its usual ones."""

_EPOCHS_ON_IMAGENET = {"coop": 50, "prograd": 50}

_FEW_SHOT_CONTEXT = {"context": None, "context_length": 16}
"""CoOp's context in its own few-shot figures: random vectors."""


def special_settings(protocol: str, method: str, dataset: str, shots: int) -> dict[str, Any]:
    """The settings in which a method's paper departs from its usual ones, in a protocol, on a data set, with few shots.

    CoOp starts from words and learns for 200 epochs in CoCoOp's tables, whatever the shots; in its own few-shot
    figures, and so in sensitivity, it starts from random vectors, and learns for fewer epochs with fewer shots.
    Sources: CoOp:configs/trainers, COOP.md and scripts @ ff61507c; Prompt-align:ProGrad.public/scripts/prograd.sh @
    1b762036; TaskRes:scripts @ 293cc9e.
    """
    few_shot = protocol in ALL_CLASSES
    own = dict(_FEW_SHOT_CONTEXT) if method == "coop" and few_shot else {}
    if dataset == "imagenet" and method in _EPOCHS_ON_IMAGENET:
        return {"epochs": _EPOCHS_ON_IMAGENET[method], **own}
    if method == "coop" and not few_shot:
        return own
    fewer = [epochs for most, epochs in _EPOCHS_OF_FEWER.get(method, ()) if shots <= most]
    return ({"epochs": fewer[0]} if fewer else {}) | own


_LEARNING = {"lr": 0.002, "augment": True, "context": "a photo of a", "context_length": 4, "similarity": "cosine"}
_PROMPTS = {"lr": 0.002, "augment": True}
_HEAD = {"augment": True, "batch_size": 256}
_SETTINGS: dict[str, dict[str, Any]] = {
    "zero-shot": {},
    "coop": {"epochs": 200, "batch_size": 32, **_LEARNING, "class_specific": False, "class_position": "end"},
    "cocoop": {"epochs": 10, "batch_size": 1, **_LEARNING, "meta_nets": "shared"},
    "kgcoop": {"epochs": 100, "batch_size": 128, **_PROMPTS, "context": "a photo of a", "weight": 8.0},
    "prograd": {"epochs": 200, "batch_size": 32, **_PROMPTS, "strength": 1.0},
    "tcp": {"epochs": 50, "batch_size": 32, **_PROMPTS, "context_length": 4, "weight": 8.0},
    "zs-lp": {"epochs": 300, "lr": 0.1, **_HEAD},
    "clap": {"epochs": 300, "lr": 0.1, **_HEAD, "constraint": "l2"},
    "taskres": {"epochs": 200, "lr": 0.002, **_HEAD, "alpha": 0.5},
    "tip-adapter-f": {"epochs": 20, "lr": 0.001, **_HEAD},
}
"""Method -> its paper's usual settings, of those that can be told from a record."""


def is_published_clip(name: str) -> bool:
    """Whether a CLIP's name says that it is the one of the papers, from OpenAI, the hub or a file."""
    spelled = re.sub(r"[^a-z0-9]+", "-", name.lower().rstrip("/"))
    others = ("laion", "datacomp", "metaclip", "dfn", "commonpool")
    return bool(re.search(r"vit-b(ase-patch|-)16(-pt|-openai)?$", spelled)) and not any(o in spelled for o in others)


def departures(
    method: str, source: str, settings: Mapping[str, Any], protocol: str = "base-to-new", shots: int = SHOTS
) -> list[str]:
    """In which settings a run is not its paper's, such as "epochs 1 instead of 10".

    Settings that are not known of a run count as the paper's, and a method that is not known here departs in none.
    `source` is the data set that was learned from. Sources: CoOp:configs/trainers and scripts @ ff61507c, and those in
    the docstrings of the methods.
    """
    expected = _SETTINGS.get(method, {}) | (special_settings(protocol, method, source, shots) if shots else {})
    ours = {name: settings.get(name, value) for name, value in expected.items()}
    return [f"{name} {ours[name]} instead of {value}" for name, value in expected.items() if ours[name] != value]
