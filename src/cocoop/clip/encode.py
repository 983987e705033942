"""Two ways to run the text tower over G x K prompts, equal up to rounding, with one signature.

A prompt is a prefix (P positions, one of G: an image's shifted context, or the one that all images share)
followed by a suffix (S_k positions, one of K: the class). Why the packed way is exact: the transformer is causal
and its feature is read at EOT, so (1) nothing after EOT matters, (2) the prefix states are the same for all
classes, and (3) a suffix token needs no more than the prefix's and its own suffix's keys and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from cocoop.clip.packing import Packing
    from cocoop.clip.text import TextTower

# Without gradients, images go through in groups of about this many suffix tokens, so that memory stays bounded for
# any number of images: at a width of 512 the widest activation, the MLP's, is then 134 MB in float32.
_TOKENS_AT_ONCE = 16_384


def encode_plain(tower: TextTower, prefix: Tensor, suffix: Tensor, packing: Packing) -> Tensor:
    """The original's way: every one of the G x K prompts at full context length. See `TextTower.forward`."""
    groups, prefix_length, width = prefix.shape
    prompts = prefix.new_zeros(groups, len(packing.lengths), tower.context_length, width)
    prompts[:, :, :prefix_length] = prefix[:, None]
    for k, tokens in enumerate(suffix.split(list(packing.lengths))):
        prompts[:, k, prefix_length : prefix_length + len(tokens)] = tokens
    x = (prompts + tower.positions).flatten(0, 1)  # [G * K, 77, D]
    for block in tower.layers:
        query, key, value = block.qkv_heads(x)
        x = block.finish(x, _join(scaled_dot_product_attention(query, key, value, is_causal=True)))
    x = x.unflatten(0, (groups, -1))
    classes = torch.arange(len(packing.lengths), device=x.device)
    return tower.pool(x[:, classes, packing.eot_position])


def encode_packed(tower: TextTower, prefix: Tensor, suffix: Tensor, packing: Packing) -> Tensor:
    """The prefix once per group, the suffixes ragged and packed. See `TextTower.forward`."""
    if not torch.is_grad_enabled():
        at_once = max(1, _TOKENS_AT_ONCE // packing.source.numel())
        if len(prefix) > at_once:
            return torch.cat([encode_packed(tower, part, suffix, packing) for part in prefix.split(at_once)])

    x_prefix = prefix + tower.positions[: packing.prefix_length]  # [G, P, D]
    # [1, R, C, D]: until the first attention no suffix token depends on the image, so that part runs once.
    x_suffix = (suffix[packing.source] + tower.positions[packing.position])[None]
    *inner, last = tower.layers
    for block in inner:
        query, key, value = block.qkv_heads(x_prefix)
        attended = _attend_packed(key, value, block.qkv_heads(x_suffix), packing)
        x_prefix = block.finish(x_prefix, _join(scaled_dot_product_attention(query, key, value, is_causal=True)))
        x_suffix = block.finish(x_suffix, attended)
    _, key, value = last.qkv_heads(x_prefix)
    attended = _attend_packed(key, value, last.qkv_heads(x_suffix), packing)
    # After the last attention only the EOT states are read.
    return tower.pool(last.finish(_at_eot(x_suffix, packing), _at_eot(attended, packing)))


def _attend_packed(
    prefix_key: Tensor, prefix_value: Tensor, suffix: tuple[Tensor, Tensor, Tensor], packing: Packing
) -> Tensor:
    """Every suffix token attends to its group's prefix and to its own suffix so far.

    prefix_key, prefix_value: [G, H, P, D/H]. suffix: query, key, value [G or 1, R, H, C, D/H]. Returns [G, R, C, D].
    """
    groups, rows = len(prefix_key), len(packing.source)
    query, key, value = (part.expand(groups, -1, -1, -1, -1) for part in suffix)
    key = torch.cat([prefix_key[:, None].expand(-1, rows, -1, -1, -1), key], dim=3)
    value = torch.cat([prefix_value[:, None].expand(-1, rows, -1, -1, -1), value], dim=3)
    mask = packing.mask.repeat(groups, 1, 1, 1)
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    attended = _join(scaled_dot_product_attention(query, key, value, attn_mask=mask))
    return attended.reshape(groups, rows, *attended.shape[1:])


def _join(heads: Tensor) -> Tensor:
    """[..., H, S, D/H] -> [..., S, D]."""
    return heads.transpose(-3, -2).flatten(-2)


def _at_eot(x: Tensor, packing: Packing) -> Tensor:
    """[G, R, C, D] -> the EOT rows [G, K, D]."""
    return x.flatten(1, 2)[:, packing.eot]
