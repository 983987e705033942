"""Text to token ids: OpenAI's clean-up, then the model's own tokenizer."""

from __future__ import annotations

from typing import Protocol

from cocoop.class_names import clean
from cocoop.errors import InputError


class Tokenizer(Protocol):
    """What the package needs of a tokenizer; every Hugging Face CLIP tokenizer has it."""

    bos_token_id: int
    eos_token_id: int

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of one text."""


def token_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of the cleaned text, without SOS and EOT."""
    return list(tokenizer.encode(clean(text), add_special_tokens=False))


def check_tokenizer(tokenizer: Tokenizer, vocabulary: int) -> None:
    """Raise `InputError` unless the tokenizer has SOS and EOT and its ids fit the text tower's vocabulary."""
    for role, name in (("SOS", "bos_token_id"), ("EOT", "eos_token_id")):
        token = getattr(tokenizer, name, None)
        if not isinstance(token, int) or not 0 <= token < vocabulary:
            raise InputError(
                f"tokenizer: expected {name} ({role}) to be an id below the model's vocabulary of {vocabulary}; "
                f"got {token!r}. Give the tokenizer that belongs to this model."
            )
