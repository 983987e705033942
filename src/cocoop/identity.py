"""What decides what a fit learns: by it a training that was stopped is known to be the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from cocoop.clip import CLIP
from cocoop.errors import InputError
from cocoop.learning import HeldOut, Source
from cocoop.methods import Method
from cocoop.ranks import Ranks
from cocoop.results import Learning, Parameters
from cocoop.results.plain import plain
from cocoop.training import Identity


def identity_of(
    model: Method,
    parameters: Parameters,
    learning: Learning | None,
    source: Source | None,
    targets: Sequence[int],
    held_out: HeldOut | None,
    ranks: Ranks,
) -> Identity:
    """All that decides what a fit learns, on one machine: parameters, images with their labels, classes, CLIP.

    The number of ranks does, too: sums over parts of a batch round otherwise.
    """
    clip = model.clip
    of_the_fit = {name: getattr(parameters, name) for name in ("method", "shots", "seed", "view_seed", "exif")}
    settings = {f"setting {name}": value for name, value in plain(model.settings).items()}
    computed = {"dtype": clip.precision.name, "device": clip.device.type}
    computed |= {"processes": str(ranks.size)} if ranks.size > 1 else {}
    computed |= {f"{name} version": version(name) for name in ("cocoop", "torch", "pillow")}
    return Identity(
        of_the_fit | settings | (asdict(learning) if learning else {}) | computed,
        {
            "training images": _hash_of(source.contents if source else None, targets),
            "validation images": _hash_of(*(held_out.contents, held_out.validation.labels) if held_out else (None, ())),
            "class names": hashlib.sha256(repr(model.class_names).encode()).hexdigest(),
            "tokens of the class names": class_tokens(clip, model.class_names),
            "weights of the CLIP": clip.fingerprint,
            "transform of the CLIP": hashlib.sha256(repr(clip.preprocess).encode()).hexdigest(),
        },
    )


def check_same(ranks: Ranks, identity: Identity) -> None:
    """Raise `InputError` on all ranks unless they are to learn the same."""
    first, *others = ranks.gather(lambda: identity)
    for rank, other in enumerate(others, 1):
        for ours, theirs in ((first.parameters, other.parameters), (first.contents, other.contents)):
            for name in sorted({**ours, **theirs}):
                if ours.get(name) != theirs.get(name):
                    raise InputError(
                        f"training: expected the same {name} on all ranks of torchrun; rank {rank} has another than "
                        "rank 0. Let all learn from the same images in the same way, or start them without torchrun."
                    )


def _hash_of(contents: NDArray[np.bytes_] | None, labels: Sequence[int]) -> str:
    """SHA-256 of images and their labels, in their order."""
    images = b"" if contents is None else contents.tobytes()
    return hashlib.sha256(images + repr([int(label) for label in labels]).encode()).hexdigest()


def class_tokens(clip: CLIP, names: Sequence[str]) -> str:
    """SHA-256 of what the CLIP's tokenizer makes of the names: tells tokenizers apart as far as it matters to them."""
    return hashlib.sha256(json.dumps([clip.token_ids(name) for name in names]).encode()).hexdigest()
