"""The tokenizer: byte-level BPE exactly as CLIP splits text, with a small vocabulary of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from .captions import TEMPLATES, WORDS, caption, choose_name
from .pictures import FAMILIES, class_names, render

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
# Contractions, runs of letters, single digits, runs of anything else.
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _bare(model: models.BPE) -> Tokenizer:
    """A tokenizer with CLIP's normalisation and splitting around a BPE model."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer


def _corpus() -> list[str]:
    """Captions of every class and of some thousands of shapes, and the plain words (each several times)."""
    rng = np.random.default_rng(0)
    names: list[tuple[str, ...]] = [(name,) for family in FAMILIES for name in class_names(family)]
    names += [render(family, "tokenizer", 0, i).names for family in FAMILIES for i in range(1500)]
    return [caption(choose_name(some, rng), rng) for some in names] + [*TEMPLATES, *WORDS] * 3


def build(size: int = 3000) -> Tokenizer:
    """Trains the tokenizer: all 256 bytes, inside and at the end of a word, so that it can encode any text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = _bare(models.BPE(end_of_word_suffix=WORD_END))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=alphabet,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(_corpus(), trainer)
    merges = [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]
    symbols = [*alphabet, *(byte + WORD_END for byte in alphabet), *dict.fromkeys(a + b for a, b in merges)]
    vocab = {symbol: i for i, symbol in enumerate([*dict.fromkeys(symbols), START, END])}
    tokenizer = _bare(models.BPE(vocab, merges, end_of_word_suffix=WORD_END, unk_token=END))
    tokenizer.add_special_tokens([START, END])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, vocab[END]), (START, vocab[START]), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def build_once(work: Path) -> Tokenizer:
    """The tokenizer of this work folder: the library breaks ties between merges at random, so it must be kept."""
    file = work / "tokenizer.json"
    if not file.exists():
        build().save(str(file))
    return Tokenizer.from_file(str(file))


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "do_lower_case": True,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
