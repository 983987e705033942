"""Values of the original code of later methods, where a copy lies beside the checkout; see its README."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from typing import Any

import pytest
import torch
from golden_clip import VOCABULARY
from safetensors.torch import load_file
from torch import Tensor

from cocoop import CLIP, Method
from cocoop.training import Step

FOLDER = VOCABULARY.with_name("golden_later")
needed = pytest.mark.skipif(
    not (FOLDER.is_dir() and VOCABULARY.is_dir()), reason="no golden values of later methods beside the checkout"
)

LOGITS = 1e-4
LOSS = 2e-5
GRADIENT = 2e-4
TRAINED = 3e-4
OTHER = 1e-5
"""The README's tolerances: absolute; relative; of the largest entry; of the largest change; of the largest entry."""


@cache
def facts() -> dict[str, Any]:
    return json.loads((FOLDER / "later.json").read_text())


@cache
def values() -> dict[str, Tensor]:
    return load_file(FOLDER / "later.safetensors")


@cache
def _weights() -> Any:
    spec = importlib.util.spec_from_file_location("later_tiny_clip", FOLDER / "tiny_clip.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def clip(name: str) -> CLIP:
    """A model of the README's table, with OpenAI's vocabulary."""
    weights = _weights().state_dict(facts()["seed"], **facts()["models"][name])
    tensors = {key: torch.from_numpy(array) for key, array in weights.items()}
    return CLIP.load(tensors, tokenizer=VOCABULARY, device="cpu")


def seeded(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(_weights().seeded(name, shape, facts()["seed"]))


@cache
def images(model: str) -> Tensor:
    """The six images' unit features [6, E]."""
    return clip(model).encode_images(seeded("input.pixels", 6, 3, 32, 32))


@cache
def support(model: str) -> Tensor:
    """The ten support images' features in three passes, not unit, [30, E]."""
    passes = [seeded(f"input.support_pixels.{number}", 10, 3, 32, 32) for number in range(facts()["support_passes"])]
    with torch.no_grad():
        return clip(model).image_tower(torch.cat(passes))


def support_labels() -> Tensor:
    return torch.tensor(facts()["support_labels"] * facts()["support_passes"])


def close(ours: Tensor | float, key: str, tolerance: float = OTHER) -> None:
    """Of the largest entry, or where the tolerance is `LOGITS` absolute."""
    theirs = values()[key]
    limit = tolerance if tolerance == LOGITS else tolerance * float(theirs.abs().max())
    difference = (torch.as_tensor(ours).detach() - theirs).abs().max()
    assert theirs.shape == torch.as_tensor(ours).shape and difference <= limit, (key, float(difference), limit)


def trained_close(model: Method, case: str, names: dict[str, str], transposed: bool = False) -> None:
    """Learned tensors after training; `names`: ours -> the original's."""
    for name, theirs in names.items():
        start, end = (values()[f"{case}.{when}.{theirs}"] for when in ("init", "train"))
        start, end = (start.T, end.T) if transposed else (start, end)
        limit = TRAINED * float((end - start).abs().max()) + 5e-7 * float(end.abs().max())
        assert (model.state_dict()[name] - end).abs().max() <= limit, (case, name)


def learn(
    model: Method, features: Tensor, labels: Tensor, rates: list[float] | None = None, **optimizer: Any
) -> list[float]:
    """The README's training; the losses before each step."""
    step, losses = Step(model, **optimizer), []
    for number in range(facts()["steps"]):
        if rates is not None:
            step.set_rate(rates[number])
        batch = [(number * facts()["batch"] + j) % len(features) for j in range(facts()["batch"])]
        losses.append(float(step(features[batch], labels[batch])[0]))
    return losses


def optimizer_of(method: str) -> dict[str, Any]:
    """Arguments of `Step`."""
    told = facts()["methods"][method]["optimizer"]
    return {"optimizer": told["name"]} | {name: told[name] for name in _NUMBERS if name in told}


_NUMBERS = ("lr", "momentum", "weight_decay", "eps")
