"""K prompts as sequences of tokens and learnable context slots, split into one shared prefix and K suffixes.

Every method writes its prompts this way and gets the fast encoder for it: whatever all prompts have in common at
their beginning, be it SOS, context or the first words of the names, becomes the prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from cocoop.clip.packing import pack
from cocoop.clip.text import TextTower
from cocoop.errors import InputError

Symbols = Sequence[int]
"""One prompt, SOS to EOT: a value v >= 0 is the token id v, a value v < 0 is the context slot -1 - v."""


def slot(index: int) -> int:
    """The symbol of context slot `index`."""
    return -1 - index


class Prompts:
    """K prompts over a frozen text tower, ready to be encoded for any value of their context slots.

    Args:
        tower: the text tower whose token embeddings the tokens take.
        names: [K] what the prompts are called in error messages.
        prompts: [K] symbols of each prompt, SOS to EOT.

    Raises:
        InputError: a prompt is longer than the context length; names it, its token count and the limit.
    """

    def __init__(self, tower: TextTower, names: Sequence[str], prompts: Sequence[Symbols]) -> None:
        _check_length(tower.context_length, names, prompts)
        shared = _common_start(prompts)
        self._tower = tower
        self._prefix = _Embedder(tower, prompts[0][:shared])
        self._suffix = _Embedder(tower, list(chain.from_iterable(prompt[shared:] for prompt in prompts)))
        self._packing = pack([len(prompt) - shared for prompt in prompts], shared, tower.positions.device)

    def encode(self, context: Tensor) -> Tensor:
        """Text features for G values of the context.

        Args:
            context: [G, N, D] vectors for the N slots. With G > 1 every slot must lie in the shared prefix.

        Returns:
            [G, K, E], unit norm.
        """
        if len(context) > 1 and self._suffix.has_slots:
            raise InputError(
                f"context: expected one value for all images, because slots stand behind a class's own tokens; got "
                f"{len(context)}. Put the slots at the beginning of every prompt."
            )
        prefix, suffix = self._prefix(context), self._suffix(context[:1])[0]
        features: Tensor = self._tower(prefix, suffix, self._packing)
        return features


class _Embedder:
    """Symbols [S] -> embeddings [G, S, D], given the slots' vectors. Token embeddings are looked up once."""

    def __init__(self, tower: TextTower, symbols: Symbols) -> None:
        device = tower.positions.device
        tokens = [symbol for symbol in symbols if symbol >= 0]
        place = iter(range(len(tokens)))
        index = [next(place) if symbol >= 0 else len(tokens) - 1 - symbol for symbol in symbols]
        self.has_slots = len(tokens) < len(symbols)
        self._tokens: Tensor = tower.token_embedding(torch.tensor(tokens, dtype=torch.int64, device=device))
        self._index = torch.tensor(index, dtype=torch.int64, device=device)

    def __call__(self, context: Tensor) -> Tensor:
        tokens = self._tokens.expand(len(context), -1, -1)
        if not self.has_slots:  # keeps a constant out of the gradient graph
            return tokens
        return torch.cat([tokens, context.to(tokens.dtype)], dim=1)[:, self._index]


def _common_start(prompts: Sequence[Symbols]) -> int:
    """How many leading symbols all prompts share, leaving each at least one of its own."""
    limit = min(map(len, prompts)) - 1
    return next((i for i in range(limit) if len({prompt[i] for prompt in prompts}) > 1), limit)


def _check_length(limit: int, names: Sequence[str], prompts: Sequence[Symbols]) -> None:
    name, longest = max(zip(names, map(len, prompts), strict=True), key=lambda pair: pair[1])
    if longest > limit:
        raise InputError(
            f"{name!r}: expected a prompt of at most {limit} tokens (start, context, name and end together); "
            f"got {longest}. Shorten the class name or the context."
        )
