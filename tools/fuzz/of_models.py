"""Checkpoints of CLIPs, their configs and tokenizers, and exported models."""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import save_file

from cocoop import CLIP, METHODS
from cocoop.clip.sources.load import BUNDLED
from cocoop.clip.sources.tokens import Tokenizer, load_tokenizer, token_ids
from cocoop.evaluation import class_probabilities
from cocoop.official import read_official, write_official
from cocoop.serving import export, load_learned
from cocoop.serving.exported.models import load_exported
from cocoop.weights import read_weights

from .of_runs import TESTS, features, make_runs, tiny

assert str(TESTS) in sys.path
clip_formats, saved, archives = (import_module(name) for name in ("clip_formats", "saved_tensors", "torch_archives"))

os.environ["HF_HUB_OFFLINE"] = "1"


def make_weights(folder: Path) -> None:
    """Tensors of every kind in every form: safetensors, torch.save, TorchScript, shards."""
    state = {name: tensor.contiguous().clone() for name, tensor in saved.tensors().items()}
    for name in ("safetensors", "saved", "scripted", "shards"):
        (folder / name).mkdir(parents=True)
    save_file(state, folder / "safetensors" / "model.safetensors")
    torch.save({"state_dict": saved.tensors(), "epoch": 3}, folder / "saved" / "model.pt")
    archives.write_openai_archive(folder / "scripted" / "model.pt", {"a.weight": torch.ones(3, 4), "b": torch.zeros(2)})
    names = list(state)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for part, of_part in parts.items():
        save_file({name: state[name] for name in of_part}, folder / "shards" / part)
    index = {"weight_map": {name: part for part, of_part in parts.items() for name in of_part}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(index))


def read_the_weights(folder: Path) -> None:
    """Read all tensors and touch them."""
    path = next(iter(sorted(folder.glob("*.index.json")) or sorted(folder.iterdir())))
    for tensor in read_weights(path).tensors.values():
        tensor.double().sum() if tensor.is_floating_point() else tensor.sum()


def make_clips(folder: Path) -> None:
    """Small random CLIPs in the layouts of OpenAI, open_clip and Hugging Face; the bundled one with its tokenizer."""
    folder.mkdir(parents=True)
    state = clip_formats.STATES["ViT"]
    clip_formats.as_openai_archive(folder / "openai", "ViT", state)
    clip_formats.as_openai_archive(folder / "openai-resnet", "ResNet", clip_formats.STATES["ResNet"])
    clip_formats.as_open_clip_safetensors(folder / "open_clip", "ViT", state)
    clip_formats.as_hugging_face_bin(folder / "hugging-face", "ViT", state)
    shutil.copytree(BUNDLED["tiny"], folder / "bundled")


def make_prompts(folder: Path) -> None:
    """Checkpoints of CoOp and CoCoOp as the original code leaves them, and a log."""
    folder.mkdir(parents=True)
    names = ["one", "seven"]
    for method in ("coop", "cocoop"):
        learned = {name: tensor.detach() for name, tensor in METHODS[method](tiny(), names).state_dict().items()}
        save_file(learned, folder.parent / "bare.safetensors")
        write_official(read_official(folder.parent / "bare.safetensors", tiny(), names), folder / method)
        (folder / method / "log.txt").write_text("DATASET:\n  NUM_SHOTS: 16\nSEED: 1\n")


def read_prompt(folder: Path) -> None:
    """Import it, and classify."""
    classifier = read_official(folder, tiny(), ["one", "seven"])
    class_probabilities(classifier.inference(), features())


@cache
def _tokenizer() -> Tokenizer:
    return load_tokenizer(BUNDLED["tiny"])


def load_clip(folder: Path) -> None:
    """Load it, and encode an image and a text."""
    place = folder / "model.pt" if folder.name.startswith("openai") else folder
    clip = CLIP.load(place, None if folder.name == "bundled" else _tokenizer(), device="cpu")
    clip.encode_texts(["a seven"])
    size = clip.preprocess.size
    if size <= 256:
        clip.encode_images(torch.zeros(1, 3, size, size))


def make_tokenizers(folder: Path) -> None:
    """The bundled one whole, as pairs of files, and as transformers reads it."""
    whole = folder / "whole"
    whole.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUNDLED["tiny"] / name, whole / name)
    content = json.loads((whole / "tokenizer.json").read_text())["model"]
    (folder / "pair").mkdir()
    (folder / "pair" / "vocab.json").write_text(json.dumps(content["vocab"]))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in content["merges"]]
    (folder / "pair" / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges))


def read_tokenizer(folder: Path) -> None:
    """Load it and take tokens of some texts."""
    tokenizer = load_tokenizer(folder)
    for text in ("a photo of a seven.", "\u05d0 <|endoftext|> é", ""):
        token_ids(tokenizer, text)


def make_exported(folder: Path) -> None:
    """A prompt in every form."""
    make_runs(folder.parent / "runs")
    learned = load_learned(folder.parent / "runs" / "coop")
    for form in ("safetensors-head", "torch-export", "onnx"):
        export(learned, form, folder / form, features=True)
    export(load_learned(folder.parent / "runs" / "cocoop"), "safetensors-head", folder / "tangent")


def read_exported(folder: Path) -> None:
    """Load it and run it."""
    options = {"clip": tiny(), "device": "auto", "dtype": "auto", "memory_budget": "auto", "tokenizer": None}
    model, classes, _ = load_exported(folder, {"classes": None}, options)
    probabilities = model.probabilities(features())
    assert probabilities.shape == (len(features()), len(classes)), "probabilities of other classes"
