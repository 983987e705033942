"""Text to token ids: OpenAI's clean-up, then the model's own tokenizer. And where a tokenizer comes from."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Protocol

from cocoop.class_names import clean
from cocoop.clip.sources.folder import CONFIG, VOCABULARIES, has_vocabulary, settings_in
from cocoop.clip.sources.hub import download_tokenizer, full_id, is_hub_id
from cocoop.clip.sources.openai_vocabulary import ENDS, OpenAITokenizer, read_openai
from cocoop.errors import InputError, reason
from cocoop.reading import read_text

_WANTED = ", or ".join(VOCABULARIES)


class Tokenizer(Protocol):
    """What the package needs of a tokenizer; every Hugging Face CLIP tokenizer has it."""

    bos_token_id: int
    eos_token_id: int

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of one text."""


def token_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of the cleaned text, without SOS and EOT."""
    return list(tokenizer.encode(clean(text), add_special_tokens=False))


def load_tokenizer(place: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer of a model.

    Args:
        place: a folder with tokenizer.json, or vocab.json and merges.txt, as transformers writes them (OpenAI's kind
            needs no other file), a hub id or a short name. The tokenizer's files alone are downloaded.

    Raises:
        InputError: no such folder, no tokenizer in it, one that cannot be read or that wants to run code of its own.
    """
    name = os.fspath(place)
    folder = Path(place)
    # os.path's functions, because those of `Path` raise for a name that is too long for the file system.
    if not os.path.isdir(name):
        is_file = os.path.exists(name)
        if is_file or not is_hub_id(full_id(name)):
            got = "a file" if is_file else "no such folder"
            raise InputError(f"{name}: expected a folder with a tokenizer ({_WANTED}) or a hub id; got {got}.")
        folder = download_tokenizer(name)
    if not has_vocabulary(folder):
        files = sorted(path.name for path in folder.iterdir())[:8]
        raise InputError(f"{name}: expected a tokenizer ({_WANTED}); got {', '.join(files) or 'no files'}.")
    return _read(name, folder)


def _read(name: str, folder: Path) -> Tokenizer:
    try:
        tokenizer: Tokenizer = _of_openai(folder) or _of_transformers(folder)
        if token_ids(tokenizer, "cat") == token_ids(tokenizer, "dog"):
            raise ValueError("two words that give the same tokens")
    except (KeyboardInterrupt, SystemExit, InputError):
        raise
    except BaseException as error:  # transformers and its parsers raise many kinds for a damaged file, panics too
        # The library's message about code of its own tells the user to allow it, which cannot be done here.
        got = "one that runs code of its own" if "trust_remote_code" in str(error) else reason(error)
        raise InputError(f"{name}: expected a tokenizer that can be read ({_WANTED}); got {got}.") from error
    return tokenizer


def _of_openai(folder: Path) -> OpenAITokenizer | None:
    """The vocabulary that nearly every CLIP has, without an import of transformers; None of any other."""
    stated = settings_in(folder, "tokenizer_config.json") or {}
    model_type = (settings_in(folder, CONFIG) or {}).get("model_type") or "clip"
    if "auto_map" in stated or ("tokenizer_class" not in stated and model_type != "clip"):
        return None
    return read_openai(folder, stated)


def _of_transformers(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedConfig

    # A config.json without a "model_type" is another library's. AutoTokenizer must not look at it: a timm model's, for
    # one, makes it ask for timm.
    of_transformers = bool((settings_in(folder, CONFIG) or {}).get("model_type"))
    known = {} if of_transformers else {"config": PreTrainedConfig()}
    # A vocabulary that no other file describes is OpenAI's kind. "Local files only" also holds back the questions
    # that transformers has for the hub about some families.
    described = of_transformers or _is_described(folder / "tokenizer_config.json")
    read = partial(AutoTokenizer.from_pretrained, **known) if described else CLIPTokenizer.from_pretrained
    if not described:
        _check_ends(folder)
    tokenizer: Tokenizer = read(str(folder), local_files_only=True, trust_remote_code=False)
    return tokenizer


def _is_described(config: Path) -> bool:
    """Whether a tokenizer_config.json says the kind of the vocabulary beside it, or that is a whole tokenizer itself.

    Those of OpenAI's kind from before transformers wrote "tokenizer_class" say neither.
    """
    if not config.is_file():
        return False
    return config.with_name("tokenizer.json").is_file() or '"tokenizer_class"' in config.read_text(errors="replace")


def _check_ends(folder: Path) -> None:
    """Raise `ValueError` unless a vocabulary that nothing describes has the ends of OpenAI's kind."""
    words = next(path for path in (folder / "tokenizer.json", folder / "vocab.json") if path.is_file())
    text = read_text(words)
    if not all(json.dumps(end) in text for end in ENDS):
        raise ValueError(f"{words.name} without {' and '.join(ENDS)}, and no tokenizer_config.json that says its kind")


def default_tokenizer(hub_id: str, model: str) -> Tokenizer:
    """The tokenizer of `hub_id`, which is the one that belongs to `model`, a file without a vocabulary.

    Raises:
        InputError: it is not to be had; the message says how to get it by hand and where to give it.
    """
    try:
        return load_tokenizer(hub_id)
    except InputError as error:
        repo, _, revision = full_id(hub_id).partition("@")
        at = f" --revision {revision}" if revision else ""
        raise InputError(
            f"{model}: expected a tokenizer, because this file has no vocabulary; that of {hub_id} belongs to it, but "
            f"could not be had ({reason(error.__cause__ or error)}). On a machine with network, run "
            f"`hf download {repo} tokenizer.json tokenizer_config.json{at} --local-dir DIR` (vocab.json and merges.txt "
            "do as well), bring DIR here and give it: --tokenizer DIR (tokenizer=DIR in Python)."
        ) from error


def check_tokenizer(tokenizer: Tokenizer, vocabulary: int, eos_token_id: int | None = None) -> None:
    """Raise `InputError` unless the tokenizer can belong to the text tower.

    Args:
        tokenizer: it must have `encode`, SOS and EOT.
        vocabulary: number of the text tower's tokens; SOS and EOT must be ids below it.
        eos_token_id: the id at which the text tower is read, which EOT must be; None if not known.
    """
    if not callable(getattr(tokenizer, "encode", None)):
        raise InputError(
            "tokenizer: expected a folder, a hub id or an object with encode(text, add_special_tokens=False), "
            f"bos_token_id and eos_token_id, as transformers' tokenizers are; got {type(tokenizer).__name__}."
        )
    for role, name in (("SOS", "bos_token_id"), ("EOT", "eos_token_id")):
        token = getattr(tokenizer, name, None)
        if not isinstance(token, int) or not 0 <= token < vocabulary:
            raise InputError(
                f"tokenizer: expected {name} ({role}) to be an id below the model's vocabulary of {vocabulary}; "
                f"got {token!r}. Give the tokenizer that belongs to this model."
            )
    if eos_token_id is not None and tokenizer.eos_token_id != eos_token_id:
        raise InputError(
            f"tokenizer: expected EOT to be token {eos_token_id}, at which the text tower is read; this tokenizer's "
            f"EOT is {tokenizer.eos_token_id}. Give the tokenizer that belongs to this model."
        )
