"""`CLIP`: two frozen towers, a tokenizer and a transform, loaded from wherever a CLIP can come from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.clip.image.resnet import ResNetTower
from cocoop.clip.image.transforms import Preprocess
from cocoop.clip.image.vit import ImageTower
from cocoop.clip.precision import Precision, find_precision, products
from cocoop.clip.sources.load import Parts, load_parts
from cocoop.clip.sources.tokens import Tokenizer, check_tokenizer, token_ids
from cocoop.clip.text.memory import parse_memory
from cocoop.clip.text.prompts import Prompts, Symbols
from cocoop.clip.text.tower import TextTower
from cocoop.errors import InputError
from cocoop.shapes import expect_shape

_TEXTS_AT_ONCE = 1024


class CLIP:
    """A frozen CLIP model. Build one with `CLIP.load`.

    A plain object, not a module: a prompt learned on top of it has parameters of its own and nothing else.

    Attributes:
        name: the source it was loaded from, for run folders and messages.
        origin: the family of its checkpoint, and the file that the weights were read from ("" of a state dict).
        text: the text tower; `text.plain = True` switches to the full-length path.
        dtype: of its tensors. precision: how it computes with them; `precision.name` is what `load` takes.
        image_tower: pixels [B, 3, N, N] -> image features [B, E], before the unit norm; `describe()` says its sizes.
        formula: the settings of the towers that their tensors do not show: heads, activation, eps.
        tokenizer_source: the folder or hub id given as `tokenizer`; None for the model's own or an object.
        preprocess: Pillow image -> [3, N, N] float32: OpenAI's test transform, or what the model's files say of it.
        augment: whether prompts are learned from random crops and flips, unless the user says otherwise.
        logit_scale: 1/tau = exp of the learned value, a float.
    """

    def __init__(
        self, parts: Parts, device: torch.device, precision: Precision, memory_budget: int | None = None
    ) -> None:
        self.name = parts.name
        self.origin = parts.origin
        self.device = device
        self.dtype = dtype = precision.dtype
        self.precision = precision
        self.tokenizer: Tokenizer = parts.tokenizer
        self.tokenizer_source = parts.tokenizer_source
        self.preprocess: Preprocess = parts.preprocess
        self.augment = parts.augment
        self.logit_scale: float = parts.towers.logit_scale
        self.text: TextTower = parts.towers.text.to(device, dtype).eval().requires_grad_(False)
        self.text.memory_budget = memory_budget
        self.image_tower: ImageTower | ResNetTower = parts.towers.image.to(device, dtype).eval().requires_grad_(False)
        self.formula = parts.towers.formula
        check_tokenizer(self.tokenizer, self.text.token_embedding.num_embeddings, parts.towers.eos_token_id)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | Mapping[str, Tensor],
        tokenizer: str | os.PathLike[str] | Tokenizer | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        memory_budget: str | int = "auto",
        quick_gelu: bool | None = None,
    ) -> CLIP:
        """Load a CLIP and freeze it. Nothing that a file holds is executed.

        Args:
            source: "tiny" (bundled); a short name of OpenAI's models such as "ViT-B/16" or "RN50"; a Hugging Face hub
                id, "owner/name" or "owner/name@revision" (the hub client's environment variables set cache, token and
                offline mode); a model folder of Hugging Face (CLIP, MetaCLIP, MetaCLIP 2) or open_clip; a file: an
                OpenAI TorchScript archive, or an open_clip checkpoint, beside its open_clip_config.json or alone; or a
                state dict in OpenAI's parameter names.
            tokenizer: a tokenizer object, or the folder or hub id of one. Default: the model's own; for a file without
                one, that of the matching hub id. Required with a state dict.
            device: "auto" takes a CUDA GPU if there is one, else the CPU; or any torch device.
            dtype: "auto" is float32 on a CPU and float16 on a GPU (as the original); or "float32", "float16",
                "bfloat16", "float64" or the torch dtype; or "tf32", float32 whose products an NVIDIA GPU takes as
                TF32. Learned tensors, norms, logits and loss are always float32 or better.
            memory_budget: bytes that the text side may take beside the weights, such as "4GB"; "auto" is what is free.
                Classes and images are divided to fit, and activations recomputed rather than kept: the same results.
            quick_gelu: of a state dict: whether the towers' activation is QuickGELU (the default, as OpenAI's) or GELU.

        Raises:
            InputError: nothing at `source`, a file missing or damaged, more in it than tensors, not a CLIP with a
                causal text tower, or an argument that is none of the above.
        """
        where, budget = _device(device), parse_memory(memory_budget)
        precision = find_precision(dtype, where)
        with torch.inference_mode(False):  # tensors of inference mode could not be learned on
            return cls(load_parts(source, tokenizer, quick_gelu), where, precision, budget)

    def __deepcopy__(self, memo: dict[int, Any]) -> CLIP:
        """Return the same object: copies share what is frozen, and so its towers, wherever they refer to them."""
        memo.update({id(module): module for tower in (self.text, self.image_tower) for module in tower.modules()})
        return self

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) that tells apart models that compute something else.

        It covers both towers' heads, activations and epsilons, and their tensors by name, in the dtype they have here.
        """
        digest = hashlib.sha256(f"{self.logit_scale!r} {self.formula}".encode())
        for tower in (self.text, self.image_tower):
            for name, tensor in sorted(tower.state_dict().items()):
                digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
                digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def products(self) -> AbstractContextManager[None]:
        """A context in which products have this CLIP's precision. Run every backward pass through a tower in it."""
        return products(self.precision, self.device)

    @property
    def embed_dim(self) -> int:
        """E, the width of the joint space."""
        return self.text.projection.out_features

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, N, N] -> image features [B, E], unit norm, at least float32."""
        expect_shape("pixels", pixels, B=None, channels=3, height=self.preprocess.size, width=self.preprocess.size)
        with self.products():
            features = self.image_tower(pixels.to(self.device, self.dtype))
        return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str], unit: bool = True) -> Tensor:
        """N texts -> text features [N, E], at least float32; made unit vectors unless `unit` is False.

        The tokens that all texts begin with are run once.

        Raises:
            InputError: no texts, or one too long for the context length; the text, its tokens and the limit are named.
        """
        if isinstance(texts, str) or not texts:
            raise InputError(f"texts: expected a list of at least one text; got {texts!r}.")
        parts = [texts[i : i + _TEXTS_AT_ONCE] for i in range(0, len(texts), _TEXTS_AT_ONCE)]
        return torch.cat([self._encode_some_texts(part, unit) for part in parts])

    def _encode_some_texts(self, texts: Sequence[str], unit: bool) -> Tensor:
        prompts = [self.prompt(self.token_ids(text)) for text in texts]
        with self.products():
            return Prompts(self.text, texts, prompts).encode(self.text.no_context, unit)[0]

    def token_ids(self, text: str) -> list[int]:
        """Token ids of a text after OpenAI's clean-up, without SOS and EOT.

        Raises:
            InputError: the tokenizer gives a token that the text tower does not have.
        """
        ids, vocabulary = token_ids(self.tokenizer, text), self.text.token_embedding.num_embeddings
        if ids and not 0 <= min(ids) <= max(ids) < vocabulary:
            raise InputError(
                f"tokenizer: expected tokens below the model's vocabulary of {vocabulary:,}; got {max(ids):,} in "
                f"{text!r}. Give the tokenizer that belongs to this model."
            )
        return ids

    def prompt(self, symbols: Symbols) -> Symbols:
        """Symbols between SOS and EOT -> the whole prompt."""
        return [self.tokenizer.bos_token_id, *symbols, self.tokenizer.eos_token_id]


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reason = "it keeps no numbers"
    try:
        found = torch.empty(0, device=device).device
        if found.type != "meta":
            return found
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
    raise InputError(f"device: expected auto, cpu or a device of this machine; got {str(device)!r} ({reason}).")
