"""The token embeddings in a checkpoint beside those of a CLIP and of class names: the same, or what differs.

The original writes them with what it learned and never looks at them again, so a prompt on the wrong CLIP, or with its
classes in another order, loads there without a word.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cocoop.class_names import prompt_name
from cocoop.clip import CLIP
from cocoop.errors import InputError
from cocoop.official.checkpoint import Prompt

_SAME = 2e-3  # of a row's length: float16 rounds to 5e-4 of each number
_PADDING = 0  # the token with which the original fills prompts up


def expected_buffers(clip: CLIP, class_names: Sequence[str], context_length: int) -> tuple[Tensor, Tensor]:
    """The original's token_prefix [K, 1, D] and token_suffix [K, L - 1 - M, D], of the CLIP's dtype.

    L is the CLIP's context length, M that of the learned context.
    """
    tokens = _suffix_tokens(clip, class_names, context_length)
    padded = torch.full((len(tokens), clip.text.context_length - 1 - context_length), _PADDING)
    for row, suffix in zip(padded, tokens, strict=True):
        row[: len(suffix)] = torch.tensor(suffix)
    start = torch.full((len(tokens), 1), clip.tokenizer.bos_token_id)
    embedding, device = clip.text.token_embedding, clip.device
    return embedding(start.to(device)), embedding(padded.to(device))


def check_tokens(prompt: Prompt, clip: CLIP, class_names: Sequence[str]) -> None:
    """Raise `InputError`, which says what differs, unless the checkpoint was learned on this CLIP and these classes.

    A checkpoint without the embeddings passes; so do other tokens behind EOT, which no text feature depends on.
    """
    if prompt.prefix is None or prompt.suffix is None:
        return
    embeddings = clip.text.token_embedding.weight.detach().cpu().float()
    positions, expected = prompt.suffix.shape[1], clip.text.context_length - 1 - prompt.context_length
    if positions != expected:
        raise _differs(
            prompt,
            f"{expected} positions behind a context of {prompt.context_length} vectors, with which {clip.name} has its "
            f"{clip.text.context_length}",
            f"{positions}: it is of another context, or of a CLIP with another context length",
        )
    start = embeddings[clip.tokenizer.bos_token_id]
    if not _same(prompt.prefix[:, 0].float(), start).all():
        raise _differs(
            prompt, f"the start token of {clip.name} in token_prefix", "another embedding: that of another CLIP"
        )
    tokens = _suffix_tokens(clip, class_names, prompt.context_length)
    wrong = [k for k, row in enumerate(tokens) if not _is_class(prompt.suffix[k], embeddings[row])]
    if wrong:
        raise _wrong_classes(prompt, prompt.suffix, clip, embeddings, class_names, tokens, wrong)


def _suffix_tokens(clip: CLIP, class_names: Sequence[str], context_length: int) -> list[list[int]]:
    """What stands behind the context: each name's tokens, ".", EOT."""
    most = clip.text.context_length - 1 - context_length
    tokens = [[*clip.token_ids(prompt_name(name) + "."), clip.tokenizer.eos_token_id] for name in class_names]
    for name, row in zip(class_names, tokens, strict=True):
        if len(row) > most:
            raise InputError(
                f"{name!r}: expected a name of at most {most - 1} tokens behind a context of {context_length}; got "
                f"{len(row) - 1}. Shorten it."
            )
    return tokens


def _is_class(suffix: Tensor, rows: Tensor) -> bool:
    return bool(_same(suffix[: len(rows)].float(), rows).all())


def _same(theirs: Tensor, ours: Tensor) -> Tensor:
    """Whether rows [..., D] are the same but for rounding, [...]."""
    same: Tensor = (theirs - ours).norm(dim=-1) <= _SAME * ours.norm(dim=-1)
    return same


def _wrong_classes(
    prompt: Prompt,
    suffix: Tensor,
    clip: CLIP,
    embeddings: Tensor,
    class_names: Sequence[str],
    tokens: list[list[int]],
    wrong: list[int],
) -> InputError:
    """The error for the classes with these numbers, by the first of them."""
    k = wrong[0]
    expected = f"class {k}, counted from 0, to be {class_names[k]!r}"
    theirs = _nearest(suffix[k].float(), embeddings, clip.tokenizer.eos_token_id)
    if theirs is None:
        return _differs(prompt, expected, f"embeddings that are no tokens of {clip.name}: those of another CLIP")
    count = f"; {len(wrong):,} of {len(class_names):,} classes differ"
    if theirs in tokens:
        other = tokens.index(theirs)
        got = f"{class_names[other]!r}, which you gave as class {other}{count}: the names are in another order"
        return _differs(prompt, expected, got)
    return _differs(prompt, expected, f"one whose tokens read {_text(clip, theirs)!r}{count}: the names are others")


def _nearest(suffix: Tensor, embeddings: Tensor, eos: int) -> list[int] | None:
    """The tokens, up to EOT, with these embeddings [S, D]; None unless all of them are some."""
    nearest = torch.cdist(suffix, embeddings).argmin(dim=1)
    tokens: list[int] = nearest.tolist()
    end = tokens.index(eos) + 1 if eos in tokens else len(tokens)
    return tokens[:end] if _same(suffix, embeddings[nearest])[:end].all() else None


def _text(clip: CLIP, tokens: list[int]) -> str:
    """What tokens read, without the "." and EOT at their end; their numbers if the tokenizer does not say it."""
    words, decode = tokens[:-1], getattr(clip.tokenizer, "decode", None)
    if decode is None:
        return " ".join(map(str, words))
    text: str = decode(words)
    return text.replace("</w>", " ").strip().removesuffix(".").strip()


def _differs(prompt: Prompt, expected: str, got: str) -> InputError:
    return InputError(
        f"{prompt.file}: expected {expected}; got {got}. Give the CLIP and the class names that it was learned with, "
        "in their order (--clip, --classes); or take it without this comparison, as the original does (--unchecked)."
    )
