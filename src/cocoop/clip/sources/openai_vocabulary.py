"""OpenAI's tokenizer in a tokenizer.json, read by the `tokenizers` library alone, without transformers' slow import.

Nearly every CLIP has it. transformers' `CLIPTokenizer` gives the same ids (`tests/clip/test_tokens.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

ENDS = ("<|startoftext|>", "<|endoftext|>")
"""SOS and EOT."""

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_NORMALIZER = normalizers.Sequence(
    [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
)
# With SOS and EOT as words or without: they are taken out of the text before.
_SPLITTERS = [
    pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    for words in (_WORDS, rf"<\|startoftext\|>|<\|endoftext\|>|{_WORDS}")
]


class OpenAITokenizer:
    """What the package needs of a tokenizer, see `tokens.Tokenizer`; `backend` is the library's."""

    def __init__(self, backend: Tokenizer) -> None:
        self.backend = backend
        ids = {token.content: number for number, token in backend.get_added_tokens_decoder().items()}
        self.bos_token_id, self.eos_token_id = (ids[end] for end in ENDS)

    def __len__(self) -> int:
        """Number of tokens, SOS and EOT included."""
        size: int = self.backend.get_vocab_size()
        return size

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of one text, between SOS and EOT if asked."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """What the tokens read, with "</w>" at the end of each word."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=False)
        return text


def read_openai(folder: Path, description: Mapping[str, Any]) -> OpenAITokenizer | None:
    """The tokenizer in the folder's tokenizer.json, or None if that or its description is of any other kind.

    Args:
        folder: of the tokenizer.
        description: what its tokenizer_config.json states; empty without one.

    Raises:
        Exception: what the library raises for a damaged file.
    """
    path = folder / "tokenizer.json"
    stated = [description.get(name, end) for name, end in zip(("bos_token", "eos_token"), ENDS, strict=True)]
    ends = tuple(token.get("content") if isinstance(token, Mapping) else token for token in stated)
    kind = description.get("tokenizer_class", "CLIPTokenizer")
    if not path.is_file() or ends != ENDS or kind not in ("CLIPTokenizer", "CLIPTokenizerFast"):
        return None
    backend = Tokenizer.from_file(str(path))
    if not _is_openais(backend):
        return None
    backend.no_truncation()
    backend.no_padding()
    return OpenAITokenizer(backend)


def _is_openais(backend: Tokenizer) -> bool:
    model, added = backend.model, backend.get_added_tokens_decoder().values()
    return (
        isinstance(model, BPE)
        and (model.unk_token, model.end_of_word_suffix) == (ENDS[1], "</w>")
        and not (model.dropout or model.continuing_subword_prefix or model.fuse_unk)
        and not (model.byte_fallback or model.ignore_merges)
        and {token.content for token in added} == set(ENDS)
        and all(token.special and not (token.single_word or token.lstrip or token.rstrip) for token in added)
        and _same(backend.normalizer, _NORMALIZER)
        and any(_same(backend.pre_tokenizer, splitter) for splitter in _SPLITTERS)
    )


def _same(given: Any, wanted: Any) -> bool:
    """Whether two parts of a tokenizer have the same settings."""
    return given is not None and bool(given.__getstate__() == wanted.__getstate__())
