"""Two ways to run the text tower over G x K prompts, equal up to rounding.

A prompt is a prefix (P positions, one of G: an image's shifted context, or the one that all images share)
followed by a suffix (S_k positions, one of K: the class). Why the packed way is exact: the transformer is causal
and its feature is read at EOT, so (1) nothing after EOT matters, (2) the prefix states are the same for all
classes, and (3) a suffix token needs no more than the prefix's and its own suffix's keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from cocoop.clip.text.attention import KeysValues, Layout, attend, attend_all, bias_of, heads
from cocoop.clip.text.block import Block
from cocoop.clip.text.memory import give_back_freed_memory
from cocoop.clip.text.packing import Packing, pack
from cocoop.clip.text.tower import TextTower


@dataclass(frozen=True, eq=False)
class Suffixes:
    """The suffixes of some classes as the first layer gets them.

    Attributes:
        packing: where the tokens lie, R rows of C slots.
        x: [R * C, D] states entering layer 0: embedding plus position. They do not depend on the image.
        qkv: [R * C, 3 D] queries, keys and values of `x` in layer 0; None: to be computed in every pass.
        bias: [R, 1, C, P + C] and ends_bias: [R, 1, Q, P + C] the packing's masks, in the dtype of `x`.
    """

    packing: Packing
    x: Tensor
    qkv: Tensor | None
    bias: Tensor
    ends_bias: Tensor


def suffixes_of(tower: TextTower, packing: Packing, embeddings: Tensor, hoist: bool) -> Suffixes:
    """The suffixes of token embeddings [T, D]; `hoist` computes their queries, keys and values of layer 0 now."""
    x = embeddings[packing.source.flatten()] + tower.positions[packing.position.flatten()]
    qkv = tower.layers[0].queries_keys_values(x) if hoist else None
    biases = (bias_of(mask[:, None], x.dtype) for mask in (packing.mask, packing.ends_mask))
    return Suffixes(packing, x, qkv, *biases)


def encode_plain(
    tower: TextTower,
    prefix: Tensor,
    suffix: Tensor,
    lengths: Sequence[int],
    replaced: tuple[int, Tensor] | None = None,
) -> Tensor:
    """The original's way, operation by operation: every one of the G x K prompts at full context length.

    Args:
        tower: the text tower.
        prefix: [G, P, D] token embeddings without positions.
        suffix: [T, D] token embeddings of all suffixes one after the other.
        lengths: [K] the number of tokens of each suffix, sum T.
        replaced: a block, and tokens [K, n, D] that positions 1 to n of each class become at its input.

    Returns:
        [G, K, E], before the unit norm.
    """
    groups, prefix_length, width = prefix.shape
    prompts = prefix.new_zeros(groups, len(lengths), tower.context_length, width)
    prompts[:, :, :prefix_length] = prefix[:, None]
    for k, tokens in enumerate(suffix.split(list(lengths))):
        prompts[:, k, prefix_length : prefix_length + len(tokens)] = tokens
    x = (prompts + tower.positions).flatten(0, 2)  # [G * K * 77, D]
    for number, block in enumerate(tower.layers):
        if replaced is not None and number == replaced[0]:
            tokens = replaced[1].to(x.dtype).expand(groups, -1, -1, -1)
            before = x.view(prompts.shape)
            x = torch.cat([before[:, :, :1], tokens, before[:, :, 1 + tokens.shape[2] :]], dim=2).flatten(0, 2)
        qkv = block.queries_keys_values(x).unflatten(0, (-1, tower.context_length))
        query, key, value = heads(qkv, block.heads, 3)
        attended = scaled_dot_product_attention(query, key, value, is_causal=True)
        x = block.finish_plainly(x, attended.transpose(1, 2).flatten(2).flatten(0, 1))
    eot = torch.tensor(lengths, device=x.device) + (prefix_length - 1)
    classes = torch.arange(len(lengths), device=x.device)
    return tower.pool(x.view(prompts.shape)[:, classes, eot])


def constant_keys_values(tower: TextTower, x: Tensor) -> list[KeysValues]:
    """The keys and values in every layer of a constant beginning [P, D], embeddings plus positions."""
    nothing = [x.new_empty(1, block.heads, 0, tower.width // block.heads) for block in tower.layers]
    no_classes = suffixes_of(tower, pack([], len(x), x.device), x[:0], hoist=False)
    return _pass(tower, [KeysValues(none, none) for none in nothing], x[None], lambda: no_classes)[1]


def encode_packed(
    tower: TextTower, known: list[KeysValues], prefix: Tensor, parts: Sequence[Callable[[], Suffixes]], kept: int
) -> Tensor:
    """The prefix once per group, the suffixes ragged and packed; the classes part after part.

    Args:
        tower: the text tower.
        known: each layer's keys and values of the first positions, which all groups share; there may be none.
        prefix: [G, M, D] states entering layer 0 (embedding plus position) of the other prefix positions.
        parts: the suffixes of all classes, in parts; each is called when its turn comes.
        kept: how many parts keep their activations for the backward pass; the others recompute them.

    Returns:
        [G, K, E], before the unit norm.
    """
    features = []
    for number, part in enumerate(parts):
        if number < kept or not torch.is_grad_enabled():
            encoded, after = _pass(tower, known, prefix, part)
        else:
            encoded, after = checkpoint(
                _frugal_pass, tower, known, prefix, part, use_reentrant=False, preserve_rng_state=False
            )
        features.append(encoded)
        if number == 0:  # its pass took the prefix along; to the others all of the prefix is known
            known, prefix = after, prefix[:, :0]
    return torch.cat(features, dim=1) if len(features) > 1 else features[0]


def _pass(
    tower: TextTower, known: list[KeysValues], prefix: Tensor, part: Callable[[], Suffixes]
) -> tuple[Tensor, list[KeysValues]]:
    """All layers on those prefix positions that are not known yet, [G, M, D], and on the suffixes of some classes.

    Their rows lie side by side, M + R * C per group, so that every product is one for all. Returns the features
    [G, K, E], and of every layer the keys and values of the whole prefix.
    """
    return run_layers(tower, tower.layers, known, prefix, part())


def run_layers(
    tower: TextTower, layers: Sequence[Block], known: list[KeysValues], prefix: Tensor, suffixes: Suffixes
) -> tuple[Tensor, list[KeysValues]]:
    """`_pass` through the last layers of the tower, from states entering the first of them."""
    x, seen = inner_layers(layers[:-1], known[:-1], prefix, suffixes)
    features, keys = _last_layer(tower, layers[-1], x, known[-1], suffixes)
    return features, [*seen, keys]


def inner_layers(
    layers: Sequence[Block], known: list[KeysValues], prefix: Tensor, suffixes: Suffixes
) -> tuple[Tensor, list[KeysValues]]:
    """Layers on all rows: prefix positions [G, M, D] and suffixes -> [G, M + R * C, D]; and the prefix's keys, values.

    Where `suffixes` has queries, keys and values, the first of the layers is layer 0.
    """
    rows = torch.cat([prefix, suffixes.x.expand(len(prefix), -1, -1)], dim=1)
    if not layers:
        return rows, []
    x, seen = rows.flatten(0, 1), []
    layout = _layout(layers[0].heads, prefix.shape[1], suffixes)
    for number, block in enumerate(layers):
        if number == 0 and suffixes.qkv is not None:
            qkv = torch.cat([block.queries_keys_values(prefix), suffixes.qkv.expand(len(prefix), -1, -1)], dim=1)
        else:
            qkv = block.queries_keys_values(x).unflatten(0, rows.shape[:2])
        attended, keys_values = attend_all(qkv, known[number], layout)
        seen.append(keys_values)
        x = block.finish(x, attended.flatten(0, 1))
    return x.view(rows.shape), seen


def _frugal_pass(
    tower: TextTower, known: list[KeysValues], prefix: Tensor, part: Callable[[], Suffixes]
) -> tuple[Tensor, list[KeysValues]]:
    """`_pass`, after returning the memory that earlier passes freed."""
    give_back_freed_memory(prefix.device)
    return _pass(tower, known, prefix, part)


def _layout(heads: int, new: int, suffixes: Suffixes) -> Layout:
    """How the rows of one pass lie: `new` prefix positions that are not known yet, then the suffixes."""
    packing = suffixes.packing
    causal = suffixes.bias.new_ones(new, packing.prefix_length, dtype=torch.bool).tril(packing.prefix_length - new)
    rows, slots = packing.source.shape
    return Layout(heads, new, rows, slots, bias_of(causal, suffixes.bias.dtype), suffixes.bias)


def _last_layer(
    tower: TextTower, block: Block, x: Tensor, known: KeysValues, suffixes: Suffixes
) -> tuple[Tensor, KeysValues]:
    """The last layer: keys and values of all rows, everything else of EOT rows only. x: [G, M + R * C, D]."""
    packing, new = suffixes.packing, x.shape[1] - len(suffixes.x)
    normed = block.ln_1(x)
    of_prefix, of_suffixes = block.keys_values(normed).split([new, len(suffixes.x)], dim=1)
    seen = known.then(KeysValues(*heads(of_prefix, block.heads, 2)))
    own = KeysValues(*heads(of_suffixes.unflatten(1, packing.source.shape), block.heads, 2))
    ends = normed.index_select(1, packing.ends.flatten() + new)
    (query,) = heads(block.queries(ends).unflatten(1, packing.ends.shape), block.heads, 1)
    attended, _ = attend(query, seen.per_row().then(own), suffixes.ends_bias)
    attended = attended.transpose(-3, -2).flatten(-2).flatten(1, 2).index_select(1, packing.end)
    x = block.finish(x.index_select(1, packing.eot + new).flatten(0, 1), attended.flatten(0, 1))
    return tower.pool(x.unflatten(0, attended.shape[:2])), seen
