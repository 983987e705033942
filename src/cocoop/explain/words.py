"""The words of a CLIP's vocabulary that lie nearest to context vectors, and how far words lie from each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.progress import progress

NEAREST = 5
"""How many words each context vector has beside it."""

_AT_ONCE = 64  # vectors whose distances to all words are computed at once: 25 MB of a vocabulary of 49,408
_SAMPLE = 512  # words whose nearest other word is looked for
_END = "</w>"  # what OpenAI's tokenizer writes behind a token that ends a word
_UNKNOWN = "�"  # of tokens that are no whole letters


@dataclass(frozen=True)
class Near:
    """A token of the vocabulary, as it reads, and how far its embedding is from a context vector."""

    word: str
    distance: float


@dataclass(frozen=True)
class ContextVector:
    """One vector that stands in prompts for a word.

    name: such as "v1". length: its Euclidean norm. nearest: the `NEAREST` tokens, nearest first. median: the distance
    of the token in the middle, of all sorted by their distances.
    """

    name: str
    length: float
    nearest: tuple[Near, ...]
    median: float


@dataclass(frozen=True)
class Words:
    """Context vectors among the words.

    vectors: each. vocabulary: how many tokens there are. length: the median norm of their embeddings. apart: the
    median distance from a token to the nearest other, over up to 512 tokens at even steps through the vocabulary.
    """

    vectors: tuple[ContextVector, ...]
    vocabulary: int
    length: float
    apart: float


def nearest_words(clip: CLIP, names: Sequence[str], vectors: Tensor) -> Words:
    """Context vectors [n, D] with their names [n], and the CLIP's token embeddings nearest by Euclidean distance.

    As the CoOp paper reads its contexts (arXiv 2109.01134, table 4). Distances are taken in float64, and those of the
    tokens that are given anew as lengths of differences. Positions are in neither.
    """
    embeddings = clip.text.token_embedding.weight.detach().cpu().double()  # not every device has float64
    sample = torch.arange(0, len(embeddings), -(-len(embeddings) // _SAMPLE))
    parts = embeddings[sample].split(_AT_ONCE)
    among = torch.cat([torch.cdist(part, embeddings).topk(2, dim=1, largest=False).values for part in parts])
    return Words(
        vectors=tuple(_described(clip, names, vectors.detach().cpu().double(), embeddings)),
        vocabulary=len(embeddings),
        length=float(embeddings.norm(dim=1).median()),
        apart=float(among[:, 1].median()),  # the first is the token itself
    )


def token_text(tokenizer: Any, token: int) -> str:
    """How a token reads; "photo", or "pho…" of a piece that does not end a word, where the tokenizer tells them apart.

    A tokenizer that cannot decode gives "token 320", as do tokens of less than a letter.
    """
    decode = getattr(tokenizer, "decode", None)
    text = str(decode([token])).strip() if callable(decode) else ""
    if not text.removesuffix(_END) or _UNKNOWN in text:
        return f"token {token}"
    return text.removesuffix(_END) if text.endswith(_END) or not _tells_ends(tokenizer) else f"{text}…"


def _tells_ends(tokenizer: Any) -> bool:
    """Whether what it decodes shows where words end."""
    return str(tokenizer.decode(tokenizer.encode("a", add_special_tokens=False))).endswith(_END)


def _described(clip: CLIP, names: Sequence[str], vectors: Tensor, embeddings: Tensor) -> Iterator[ContextVector]:
    rest = iter(names)
    parts = vectors.split(_AT_ONCE)
    for part in progress(parts, "finding words", unit=" parts"):
        distances = torch.cdist(part, embeddings)
        nearest = distances.topk(min(NEAREST, len(embeddings)), dim=1, largest=False).indices
        medians = distances.median(dim=1).values.tolist()
        for vector, tokens, median in zip(part, nearest, medians, strict=True):
            exact = (embeddings[tokens] - vector).norm(dim=1).tolist()
            near = sorted(zip(exact, tokens.tolist(), strict=True))
            words = tuple(Near(token_text(clip.tokenizer, token), distance) for distance, token in near)
            yield ContextVector(next(rest), float(vector.norm()), words, median)
