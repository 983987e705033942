"""A tokenizer for measurements: every word is one token, so that there are as many names of any length as needed."""

from __future__ import annotations

import zlib


class WordTokenizer:
    """One token id per word, a number's being its value, and one for a full stop; see `Tokenizer` of `clip.sources`.

    Args:
        vocabulary: token ids of the model. The last two are SOS and EOT, as in released CLIPs.
    """

    def __init__(self, vocabulary: int) -> None:
        self.bos_token_id, self.eos_token_id = vocabulary - 2, vocabulary - 1
        self.words = vocabulary - 3
        """How many numbers have an id of their own."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Token ids of a text, never with SOS and EOT."""
        return [self._id(word) for word in text.replace(".", " . ").split()]

    def _id(self, word: str) -> int:
        if word == ".":
            return self.words
        return (int(word) if word.isdecimal() else zlib.crc32(word.encode())) % self.words
