"""Tokenizers: which folders are read, what a broken or foreign one is told, and that nothing else is asked or run."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import golden_clip
import pytest
from tokenizers import Tokenizer as Reference
from transformers import CLIPTokenizer

from cocoop import CLIP
from cocoop.clip.sources.folder import VOCABULARIES, has_vocabulary
from cocoop.clip.sources.load import BUNDLED
from cocoop.clip.sources.openai_vocabulary import OpenAITokenizer
from cocoop.clip.sources.tokens import check_tokenizer, load_tokenizer, token_ids
from cocoop.errors import InputError

TINY = BUNDLED["tiny"]
SPEC = json.loads((TINY / "tokenizer.json").read_text())
TEXTS = ["a photo of a seven.", "A  Photo of a SEVEN", "42 zeros!", "caf\u00e9 \u4e2d\u6587"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a local tokenizer reached for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def write(folder: Path, *copied: str, **texts: str) -> Path:
    """A folder with some of the bundled files, and others by their text; in names, __ is a dot."""
    for name in copied:
        shutil.copy(TINY / name, folder / name)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def vocabulary() -> dict[str, str]:
    """The bundled vocabulary in the two files of older models."""
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in SPEC["model"]["merges"]]
    return {"vocab__json": json.dumps(SPEC["model"]["vocab"]), "merges__txt": "\n".join(["#version: 0.2", *merges])}


TIMM = '{"architecture": "vit_base_patch32_clip_224", "num_classes": 512, "pretrained_cfg": {"tag": "openai"}}'


@pytest.mark.parametrize(
    "files", ["whole", "bare", "two files", "two bare files", "timm", "bare timm", "config of none"]
)
def test_every_shape_of_a_folder_gives_the_same_ids(tmp_path, files):
    """The `tokenizers` library on the bundled file is the reference."""
    folder = {
        "whole": lambda: TINY,
        "bare": lambda: write(tmp_path, "tokenizer.json"),
        "two files": lambda: write(tmp_path, "tokenizer_config.json", **vocabulary()),
        "two bare files": lambda: write(tmp_path, **vocabulary()),
        "timm": lambda: write(tmp_path, "tokenizer.json", "tokenizer_config.json", config__json=TIMM),
        "bare timm": lambda: write(tmp_path, "tokenizer.json", config__json=TIMM),
        "config of none": lambda: write(tmp_path, "tokenizer.json", config__json='{"model_type": null}'),
    }[files]()
    tokenizer = load_tokenizer(folder)
    reference = Reference.from_file(str(TINY / "tokenizer.json"))
    assert [token_ids(tokenizer, text) for text in TEXTS] == [
        reference.encode(text, add_special_tokens=False).ids for text in TEXTS
    ]
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert ids == tuple(reference.token_to_id(text) for text in ("<|startoftext|>", "<|endoftext|>"))
    check_tokenizer(tokenizer, reference.get_vocab_size(), ids[1])


@pytest.mark.skipif(not golden_clip.VOCABULARY.is_dir(), reason="no copy of OpenAI's vocabulary beside the checkout")
def test_openais_vocabulary():
    tokenizer = load_tokenizer(golden_clip.VOCABULARY)
    for text, ids in golden_clip.FACTS["tokens"].items():
        assert token_ids(tokenizer, text) == ids
    check_tokenizer(tokenizer, 49408, 49407)


ODD = [
    "",
    "  ",
    "it's",
    "<|endoftext|> cat",
    "CAT<|startoftext|>",
    "na\u00efve \ud55c\uae00 3.14",
    "\U0001f600",
    "a\tb",
]


@pytest.mark.parametrize("place", [TINY, golden_clip.VOCABULARY], ids=["tiny", "OpenAI's"])
def test_openais_kind_gives_the_ids_of_transformers(place):
    if not place.is_dir():
        pytest.skip("no copy of OpenAI's vocabulary beside the checkout")
    ours, theirs = load_tokenizer(place), CLIPTokenizer.from_pretrained(place)
    assert isinstance(ours, OpenAITokenizer)
    texts = [*TEXTS, *ODD]
    for special in (False, True):
        assert [ours.encode(text, add_special_tokens=special) for text in texts] == [
            theirs.encode(text, add_special_tokens=special) for text in texts
        ]
    assert (ours.bos_token_id, ours.eos_token_id, len(ours)) == (theirs.bos_token_id, theirs.eos_token_id, len(theirs))


OTHER_KINDS = {
    "case kept": {"normalizer": {"type": "NFC"}},
    "split at blanks": {"pre_tokenizer": {"type": "WhitespaceSplit"}},
    "other unknown": {"model": SPEC["model"] | {"unk_token": "<|startoftext|>"}},
    "one more token": {"added_tokens": [*SPEC["added_tokens"], SPEC["added_tokens"][0] | {"id": 2125, "content": "x"}]},
}


@pytest.mark.parametrize("changes", OTHER_KINDS.values(), ids=OTHER_KINDS.keys())
def test_what_only_looks_like_openais_kind_is_left_to_transformers(tmp_path, changes):
    tokenizer = load_tokenizer(write(tmp_path, "tokenizer_config.json", tokenizer__json=json.dumps(SPEC | changes)))
    assert isinstance(tokenizer, CLIPTokenizer)


@pytest.mark.parametrize(
    ("copied", "texts", "got"),
    [
        ([], {}, "got no files"),
        (["tokenizer_config.json"], {}, r"got tokenizer_config\.json"),
        (["tokenizer_config.json"], {"vocab__json": "{}"}, r"got tokenizer_config\.json, vocab\.json"),
        (["tokenizer_config.json"], {"merges__txt": ""}, r"got merges\.txt, tokenizer_config\.json"),
    ],
)
def test_a_folder_without_a_vocabulary(tmp_path, copied, texts, got):
    """transformers itself makes up a vocabulary of two tokens here."""
    with pytest.raises(InputError, match=rf"expected a tokenizer \(tokenizer\.json, or vocab\.json and merges.*{got}"):
        load_tokenizer(write(tmp_path, *copied, **texts))


BROKEN = {
    "empty": {"tokenizer__json": ""},
    "no json": {"tokenizer__json": "not json"},
    "nothing in it": {"tokenizer__json": "{}"},
    "a list": {"tokenizer__json": "[]"},
    "cut": {"tokenizer__json": (TINY / "tokenizer.json").read_text()[:50_000]},
    "config cut": {"tokenizer__json": json.dumps(SPEC), "tokenizer_config__json": "{"},
    "config a list": {"tokenizer__json": json.dumps(SPEC), "tokenizer_config__json": "[]"},
    "a panic of its parser": {
        "tokenizer__json": json.dumps(SPEC | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}})
    },
    "merges of nothing": {"vocab__json": "{}", "merges__txt": "#version: 0.2\na b"},
}


@pytest.mark.parametrize("texts", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("described", [True, False])
def test_a_broken_one(tmp_path, texts, described):
    write(tmp_path, *(["tokenizer_config.json"] if described else []))
    with pytest.raises(
        InputError, match=r"expected (a tokenizer that can be read.*got [A-Z][A-Za-z]+:|settings )"
    ) as caught:
        load_tokenizer(write(tmp_path, **texts))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reference", ["mine.Mine", "someone/else--mine.Mine"])
def test_code_of_a_tokenizer_never_runs(tmp_path, reference):
    marker = tmp_path / "it_ran"
    settings = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": [reference, None]}}
    write(
        tmp_path,
        "tokenizer.json",
        tokenizer_config__json=json.dumps(settings),
        mine__py=f"open({str(marker)!r}, 'w')\nclass Mine: pass\n",
    )
    with pytest.raises(InputError, match="got one that runs code of its own"):
        load_tokenizer(tmp_path)
    assert not marker.exists()


def test_a_vocabulary_of_another_kind_needs_its_description(tmp_path):
    """It would be read as OpenAI's: without its own normalizer, or with all words unknown."""
    other = SPEC | {"model": {"type": "WordLevel", "vocab": {"<s>": 0, "</s>": 1, "cat": 2}, "unk_token": "<s>"}}
    other |= {"added_tokens": [], "post_processor": None}
    with pytest.raises(InputError, match=r"tokenizer\.json without <\|startoftext\|>.*no tokenizer_config\.json"):
        load_tokenizer(write(tmp_path, tokenizer__json=json.dumps(other)))


def test_an_old_description_without_a_class(tmp_path):
    """As beside the vocabularies of 2022; AutoTokenizer alone cannot tell what they are."""
    model = SPEC["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    old = {"do_lower_case": True, "errors": "replace", "pad_token": "<|endoftext|>", "name_or_path": "./clip_ViT_B_32/"}
    write(tmp_path, vocab__json=json.dumps(model["vocab"]), merges__txt="\n".join(["#version: 0.2", *merges]))
    write(tmp_path, tokenizer_config__json=json.dumps(old))
    tokenizer, whole = load_tokenizer(tmp_path), load_tokenizer(TINY)
    assert [token_ids(tokenizer, text) for text in TEXTS] == [token_ids(whole, text) for text in TEXTS]
    assert tokenizer.eos_token_id == whole.eos_token_id


def test_one_that_knows_no_words(tmp_path):
    same = {"type": "WordLevel", "vocab": {"<|startoftext|>": 0, "<|endoftext|>": 1}, "unk_token": "<|endoftext|>"}
    write(tmp_path, "tokenizer_config.json", tokenizer__json=json.dumps(SPEC | {"model": same}))
    with pytest.raises(InputError, match="expected a tokenizer that can be read"):
        load_tokenizer(tmp_path)


def test_a_token_that_the_text_tower_does_not_have(tmp_path, tiny):
    spec = json.loads((TINY / "tokenizer.json").read_text())
    added = {"id": 2125, "content": "photo", "special": False, "single_word": False, "lstrip": False, "rstrip": False}
    spec["added_tokens"].append(added | {"normalized": False})
    write(tmp_path, "tokenizer_config.json", tokenizer__json=json.dumps(spec))
    clip = CLIP.load("tiny", tokenizer=tmp_path, device="cpu")
    with pytest.raises(InputError, match="tokens below the model's vocabulary of 2,125; got 2,125 in 'a photo'"):
        clip.encode_texts(["a photo"])


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_config_beside_it(tmp_path, text):
    with pytest.raises(InputError, match=r"config\.json: expected settings"):
        load_tokenizer(write(tmp_path, "tokenizer.json", config__json=text))


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        ("tokenizer.json", True),
        ("vocab.json merges.txt", True),
        ("vocab.json", False),
        ("merges.txt", False),
        ("sentencepiece.bpe.model", False),
        ("tokenizer_config.json config.json", False),
        ("", False),
    ],
)
def test_which_files_are_a_vocabulary(tmp_path, files, whole):
    for name in files.split():
        (tmp_path / name).touch()
    assert has_vocabulary(tmp_path) == whole
    assert whole == any(text.replace(" and ", " ") == files for text in VOCABULARIES)


@pytest.mark.parametrize("place", ["a" * 5000, "owner/" + "a" * 5000, "a/" * 3000, "", "nul\0", "x\ny"])
def test_names_that_no_folder_can_have(place):
    with pytest.raises(InputError):
        load_tokenizer(place)


def test_places_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"a folder with a tokenizer .* or a hub id; got a file"):
        load_tokenizer(TINY / "tokenizer.json")
    with pytest.raises(InputError, match="got no such folder"):
        load_tokenizer(tmp_path / "none")


class Ids:
    """A tokenizer with these special tokens."""

    def __init__(self, bos: object, eos: object) -> None:
        self.bos_token_id, self.eos_token_id = bos, eos

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return []


def test_a_tokenizer_of_another_model_is_refused():
    check_tokenizer(Ids(8, 9), 10)
    check_tokenizer(Ids(8, 9), 10, 9)
    for bos, eos, name in ((10, 9, "bos_token_id"), (8, 10, "eos_token_id"), (8, -1, "eos_token_id"), (None, 9, "bos")):
        with pytest.raises(InputError, match=f"expected {name}.*below the model's vocabulary of 10"):
            check_tokenizer(Ids(bos, eos), 10)
    with pytest.raises(
        InputError, match=r"EOT to be token 9, at which the text tower is read; this tokenizer's EOT is 7"
    ):
        check_tokenizer(Ids(8, 7), 10, 9)


@pytest.mark.parametrize("other", [5, object(), type("Uncallable", (), {"encode": None})()])
def test_an_object_that_is_no_tokenizer_is_refused(other):
    with pytest.raises(InputError, match=rf"with encode\(text.*got {type(other).__name__}"):
        check_tokenizer(other, 10)
