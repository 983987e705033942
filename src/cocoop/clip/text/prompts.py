"""K prompts as sequences of tokens and learnable context slots, split into one shared prefix and K suffixes.

Every method writes its prompts this way and gets the fast encoder for it: whatever all prompts have in common at
their beginning, be it SOS, context or the first words of the names, becomes the prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.clip.text.encode import Suffixes, constant_keys_values, encode_packed, encode_plain, suffixes_of
from cocoop.clip.text.memory import may_hoist, plan, tokens_at_once
from cocoop.clip.text.packing import Packing, pack
from cocoop.clip.text.replaced import Regrouped, Replacement, encode_replaced, regroup
from cocoop.clip.text.tower import TextTower
from cocoop.errors import InputError

Symbols = Sequence[int]
"""One prompt, SOS to EOT: a value v >= 0 is the token id v, a value v < 0 is the context slot -1 - v."""


def slot(index: int) -> int:
    """The symbol of context slot `index`."""
    return -1 - index


class Prompts:
    """K prompts over a frozen text tower, ready to be encoded for any value of their context slots.

    Here is computed once what does not depend on the slots: the keys and values of the tokens before the first slot,
    and the first layer's queries, keys and values of the classes' own tokens. The classes lie in parts that go through
    the tower one after another, of a size that its memory budget allows.

    Args:
        tower: the text tower whose token embeddings the tokens take.
        names: [K] what the prompts are called in error messages.
        prompts: [K] symbols of each prompt, SOS to EOT.

    Raises:
        InputError: a prompt is longer than the context length (names it, its token count and the limit), or the memory
            budget is too small for it.
    """

    def __init__(self, tower: TextTower, names: Sequence[str], prompts: Sequence[Symbols]) -> None:
        _check_length(tower.context_length, names, prompts)
        shared = _common_start(prompts)
        prefix, suffixes = prompts[0][:shared], [prompt[shared:] for prompt in prompts]
        self._tower = tower
        self._prefix = _Embedder(tower, prefix)
        # A prefix without slots runs once anyway, beside the suffixes.
        self._constant = next((i for i, symbol in enumerate(prefix) if symbol < 0), 0)
        beginning = _Embedder(tower, prefix[: self._constant])(tower.no_context)[0]
        self._known = constant_keys_values(tower, beginning + tower.positions[: self._constant])
        self._take(suffixes, shared, may_hoist(tower, sum(map(len, suffixes))))

    def _take(self, suffixes: Sequence[Symbols], prefix_length: int, hoist: bool) -> None:
        at_once = tokens_at_once(self._tower, prefix_length, max(map(len, suffixes)))
        # Equal prompts are encoded once: beside other prompts each would be rounded otherwise.
        distinct = {tuple(suffix): i for i, suffix in enumerate(dict.fromkeys(map(tuple, suffixes)))}
        self._which = self._first = None
        if len(distinct) < len(suffixes):
            which = [distinct[tuple(suffix)] for suffix in suffixes]
            self._which = torch.tensor(which, device=self._tower.positions.device)
            self._first = torch.tensor([which.index(i) for i in range(len(distinct))], device=self._which.device)
        self._suffixes = suffixes
        self._parts = [_Part(self._tower, part, prefix_length, hoist) for part in in_parts([*distinct], at_once)]
        self._packings = [part.packing for part in self._parts]
        self._regrouped: dict[int, list[Regrouped]] = {}
        self._plans: dict[tuple[int, int, bool], tuple[int, int]] = {}

    def select(self, classes: Sequence[int]) -> Prompts:
        """The prompts of some classes, by number, for a single use: nothing of them is computed ahead."""
        selected = copy(self)
        selected._take([self._suffixes[k] for k in classes], self._packings[0].prefix_length, hoist=False)
        return selected

    def encode(self, context: Tensor, unit: bool = True, replacement: Replacement | None = None) -> Tensor:
        """Text features for G values of the context.

        Args:
            context: [G, N, D] vectors for the N slots. With G > 1 every slot must lie in the shared prefix.
            unit: whether they are made unit vectors, as CLIP compares them.
            replacement: what the slots become inside the tower, n of them right behind SOS; then G is 1.

        Returns:
            [G, K, E], at least float32.
        """
        if len(context) > 1 and any(part.embedder.has_slots for part in self._parts):
            raise InputError(
                f"context: expected one value for all images, because slots stand behind a class's own tokens; got "
                f"{len(context)}. Put the slots at the beginning of every prompt."
            )
        # The CLIP's dtype says in what to compute; a caller's autocast would mix it with another.
        with torch.autocast(context.device.type, enabled=False):
            features = self._encode(context) if replacement is None else self._encode_replaced(context, replacement)
            if unit:
                features = F.normalize(features, dim=-1)
        return features if self._which is None else features.index_select(1, self._which)

    def _encode(self, context: Tensor) -> Tensor:
        tower, prefix = self._tower, self._prefix(context)
        if tower.plain:
            plain = [encode_plain(tower, prefix, p.embedder(context[:1])[0], p.packing.lengths) for p in self._parts]
            return torch.cat(plain, dim=1)
        prefix = (prefix + tower.positions[: prefix.shape[1]])[:, self._constant :]
        parts = [partial(part.suffixes, context[:1]) for part in self._parts]
        groups, kept = self._plan(self._packings, len(context), torch.is_grad_enabled())
        features = []
        for some in prefix.split(groups):
            features.append(encode_packed(tower, self._known, some, parts, kept))
            kept = max(0, kept - len(parts))
        return torch.cat(features)

    def _encode_replaced(self, context: Tensor, replacement: Replacement) -> Tensor:
        tower, prefix, (block, tokens) = self._tower, self._prefix(context), replacement
        if self._constant != 1 or not 0 < tokens.shape[1] < prefix.shape[1]:
            raise InputError("replacement: expected slots right behind SOS, which all prompts share; got others.")
        tokens = tokens if self._first is None else tokens.index_select(0, self._first)
        if tower.plain:
            each = zip(self._parts, tokens.split([len(packing.lengths) for packing in self._packings]), strict=True)
            plain = [
                encode_plain(tower, prefix, p.embedder(context)[0], p.packing.lengths, (block, own)) for p, own in each
            ]
            return torch.cat(plain, dim=1)
        if tokens.shape[1] not in self._regrouped:
            later = [regroup(packing, tokens.shape[1], prefix.dtype) for packing in self._packings]
            self._regrouped[tokens.shape[1]] = later
        later = self._regrouped[tokens.shape[1]]
        prefix = (prefix + tower.positions[: prefix.shape[1]])[:, 1:]
        parts = [(partial(part.suffixes, context), places) for part, places in zip(self._parts, later, strict=True)]
        _, kept = self._plan([places.packing for places in later], 1, torch.is_grad_enabled())
        return encode_replaced(tower, self._known, prefix, parts, Replacement(block, tokens), kept)

    def _plan(self, packings: Sequence[Packing], groups: int, training: bool) -> tuple[int, int]:
        """`plan` for this many groups, cached, so that no step asks the device for its free memory."""
        key = packings[0].prefix_length, groups, training  # of the two packings the second has SOS alone before it
        if key not in self._plans:
            self._plans[key] = plan(self._tower, packings, groups, training)
        return self._plans[key]


class _Part:
    """Some of the classes: their suffixes, computed once if they hold no slots and memory allows."""

    def __init__(self, tower: TextTower, suffixes: Sequence[Symbols], prefix_length: int, hoist: bool) -> None:
        self.embedder = _Embedder(tower, list(chain.from_iterable(suffixes)))
        self.packing = pack([len(suffix) for suffix in suffixes], prefix_length, tower.positions.device)
        self._tower = tower
        self._hoisted = None
        if hoist and not self.embedder.has_slots:
            self._hoisted = suffixes_of(tower, self.packing, self.embedder(tower.no_context)[0], hoist=True)

    def suffixes(self, context: Tensor) -> Suffixes:
        """The suffixes with this value [1, N, D] of the slots, if they hold any."""
        return self._hoisted or suffixes_of(self._tower, self.packing, self.embedder(context)[0], hoist=False)


class _Embedder:
    """Symbols [S] -> embeddings [G, S, D], given the slots' vectors."""

    def __init__(self, tower: TextTower, symbols: Symbols) -> None:
        device = tower.positions.device
        tokens = [symbol for symbol in symbols if symbol >= 0]
        slots = sorted({-1 - symbol for symbol in symbols if symbol < 0})
        place = iter(range(len(tokens)))
        behind = {used: len(tokens) + i for i, used in enumerate(slots)}
        index = [next(place) if symbol >= 0 else behind[-1 - symbol] for symbol in symbols]
        self.has_slots = bool(slots)
        self._slots = torch.tensor(slots, dtype=torch.int64, device=device)
        self._embedding = tower.token_embedding
        self._tokens = torch.tensor(tokens, dtype=torch.int64, device=device)
        self._index = torch.tensor(index, dtype=torch.int64, device=device)

    def __call__(self, context: Tensor) -> Tensor:
        tokens: Tensor = self._embedding(self._tokens).expand(len(context), -1, -1)
        if not self.has_slots:  # keeps a constant out of the gradient graph
            return tokens
        used = context.index_select(1, self._slots).to(tokens.dtype)
        return torch.cat([tokens, used], dim=1).index_select(1, self._index)


def _common_start(prompts: Sequence[Symbols]) -> int:
    """How many leading symbols all prompts share, leaving each at least one of its own."""
    limit = min(map(len, prompts)) - 1
    return next((i for i in range(limit) if len({prompt[i] for prompt in prompts}) > 1), limit)


def in_parts(suffixes: Sequence[Symbols], at_once: int) -> Iterator[Sequence[Symbols]]:
    """The suffixes in order, in as few parts of at most `at_once` tokens as there can be, about equally large."""
    total = sum(map(len, suffixes))
    enough = min(at_once, total // -(-total // at_once) + max(map(len, suffixes)))
    start, tokens = 0, 0
    for k, suffix in enumerate(suffixes):
        if tokens + len(suffix) > enough:
            yield suffixes[start:k]
            start, tokens = k, 0
        tokens += len(suffix)
    yield suffixes[start:]


def _check_length(limit: int, names: Sequence[str], prompts: Sequence[Symbols]) -> None:
    name, longest = max(zip(names, map(len, prompts), strict=True), key=lambda pair: pair[1])
    if longest > limit:
        raise InputError(
            f"{name!r}: expected a prompt of at most {limit} tokens (start, context, name and end together); "
            f"got {longest}. Shorten the class name or the context."
        )
