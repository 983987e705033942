"""Prompts whose first tokens are replaced inside the tower, those of every class by its own.

Up to that block all classes share their prefix, as in `encode.py`. From it on only SOS, which sees nothing else, is the
same for all of them: each class has its replaced tokens, what the prefix holds beyond them, and its own suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cocoop.clip.text.attention import KeysValues, bias_of
from cocoop.clip.text.encode import Suffixes, inner_layers, run_layers
from cocoop.clip.text.packing import Packing, pack
from cocoop.clip.text.tower import TextTower


class Replacement(NamedTuple):
    """At the input of block `block`, counted from 0, positions 1 to n of class k become `tokens[k]`.

    block: at least 1. tokens: [K, n, D] states, which get no position.
    """

    block: int
    tokens: Tensor


@dataclass(frozen=True, eq=False)
class Regrouped:
    """Where the tokens of some classes lie from that block on.

    Attributes:
        packing: of all positions but SOS, P - 1 + S_k of each class.
        index: [R * C] which row each of its slots holds, of: the K * n replaced tokens, the prefix beyond position n,
            and the slots of the packing before.
        bias, ends_bias: its masks, as in `Suffixes`.
    """

    packing: Packing
    index: Tensor
    bias: Tensor
    ends_bias: Tensor


def regroup(before: Packing, replaced: int, dtype: torch.dtype) -> Regrouped:
    """Lay out classes that were packed behind a shared prefix, of which n positions behind SOS are `replaced`."""
    device, shared = before.source.device, before.prefix_length - 1 - replaced
    own = replaced * len(before.lengths)
    index: list[int] = []
    for k, (length, eot) in enumerate(zip(before.lengths, before.eot.tolist(), strict=True)):
        index += range(k * replaced, (k + 1) * replaced)
        index += range(own, own + shared)
        index += range(own + shared + eot + 1 - length, own + shared + eot + 1)
    packing = pack([replaced + shared + length for length in before.lengths], 1, device)
    masks = (bias_of(mask[:, None], dtype) for mask in (packing.mask, packing.ends_mask))
    return Regrouped(packing, torch.tensor(index, device=device)[packing.source.flatten()], *masks)


def encode_replaced(
    tower: TextTower,
    sos: list[KeysValues],
    prefix: Tensor,
    parts: Sequence[tuple[Callable[[], Suffixes], Regrouped]],
    replacement: Replacement,
    kept: int,
) -> Tensor:
    """The prefix once up to the block of the replacement, and the classes part after part.

    Args:
        tower: the text tower.
        sos: each layer's keys and values of SOS.
        prefix: [1, P - 1, D] states entering layer 0 (embedding plus position) of the prefix behind SOS.
        parts: the suffixes of all classes, in parts, each with its later places.
        replacement: of all classes, in their order.
        kept: how many parts keep their activations for the backward pass; the others recompute them.

    Returns:
        [1, K, E], before the unit norm.
    """
    features = []
    tokens = replacement.tokens.split([len(regrouped.packing.lengths) for _, regrouped in parts])
    for number, ((part, regrouped), own) in enumerate(zip(parts, tokens, strict=True)):
        given = tower, sos, prefix, part, regrouped, own, replacement.block
        if number < kept or not torch.is_grad_enabled():
            features.append(_pass(*given))
        else:
            features.append(checkpoint(_pass, *given, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(features, dim=1)


def _pass(
    tower: TextTower,
    sos: list[KeysValues],
    prefix: Tensor,
    part: Callable[[], Suffixes],
    regrouped: Regrouped,
    tokens: Tensor,
    block: int,
) -> Tensor:
    """All layers on the prefix and the suffixes of some classes; [1, K, E]."""
    before, after = tower.layers[:block], tower.layers[block:]
    x, _ = inner_layers(before, sos[:block], prefix, part())
    rows = torch.cat([tokens.flatten(0, 1).to(x.dtype), x[0, tokens.shape[1] :]])
    later = Suffixes(regrouped.packing, rows[regrouped.index], None, regrouped.bias, regrouped.ends_bias)
    return run_layers(tower, after, sos[block:], prefix[:, :0], later)[0]
