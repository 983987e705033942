"""Where a CLIP comes from: the bundled folder, a Hugging Face folder or hub id, or tensors in OpenAI's names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cocoop.clip.openai_names import config_from_openai, huggingface_names
from cocoop.clip.text import TextTower
from cocoop.clip.tokens import Tokenizer
from cocoop.clip.transforms import OPENAI_MEAN, OPENAI_STD, Preprocess
from cocoop.errors import InputError

if TYPE_CHECKING:
    from transformers import CLIPModel

# torchvision cannot be imported beside a CPU-only torch, and a broken one makes `import transformers` fail.
# Nothing here needs it. This module is the one that imports transformers first.
sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]

BUNDLED = {"tiny": Path(__file__).parent / "tiny"}

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_VOCABULARY = ("tokenizer.json", "vocab.json")


class ImageTower(nn.Module):
    """The vision transformer of transformers' CLIP and its projection: pixels [B, 3, N, N] -> [B, E]."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.projection = model.visual_projection

    def forward(self, pixels: Tensor) -> Tensor:
        """Image features before the unit norm."""
        features: Tensor = self.projection(self.vision_model(pixel_values=pixels).pooler_output)
        return features


@dataclass(frozen=True)
class Parts:
    """What a CLIP is made of, on the CPU and in the checkpoint's dtype.

    `formula` is what the towers compute with their tensors, as far as these do not show it.
    """

    name: str
    text: TextTower
    image: ImageTower
    logit_scale: float
    tokenizer: Tokenizer
    preprocess: Preprocess
    formula: Mapping[str, Any]


def load_parts(
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    tokenizer: str | os.PathLike[str] | Tokenizer | None,
) -> Parts:
    """Find out what `source` is and load it. See `CLIP.load`."""
    if isinstance(source, Mapping):
        if tokenizer is None:
            raise InputError(
                "tokenizer: expected a folder or a tokenizer object, because a state dict has no vocabulary; got None."
            )
        return _parts("state dict", _model_from_openai(source), tokenizer, {})
    name = os.fspath(source)
    folder = BUNDLED.get(name, Path(name))
    if folder.is_dir():
        _check_folder(folder, needs_tokenizer=tokenizer is None)
    elif folder.exists():
        raise InputError(f"{name}: expected a model folder in the Hugging Face format; got a file.")
    elif not _looks_like_hub_id(name):
        raise InputError(
            f"{name}: expected {', '.join(BUNDLED)}, a model folder or a hub id such as openai/clip-vit-base-patch16; "
            "got no such folder."
        )
    place = str(folder) if folder.is_dir() else name
    _check_family(name, place)
    model = _model_from_huggingface(name, place)
    return _parts(name, model, place if tokenizer is None else tokenizer, _stated_preprocessing(place))


def _parts(
    name: str,
    model: CLIPModel,
    tokenizer: str | os.PathLike[str] | Tokenizer,
    preprocessing: Mapping[str, Sequence[float]],
) -> Parts:
    config = model.config
    text = TextTower(config.text_config, config.projection_dim)
    text.load_huggingface(model.state_dict())
    return Parts(
        name=name,
        text=text,
        image=ImageTower(model),
        logit_scale=model.logit_scale.detach().double().exp().item(),
        tokenizer=_tokenizer(tokenizer) if isinstance(tokenizer, str | os.PathLike) else tokenizer,
        preprocess=Preprocess(
            config.vision_config.image_size,
            preprocessing.get("image_mean", OPENAI_MEAN),
            preprocessing.get("image_std", OPENAI_STD),
        ),
        formula={
            f"{tower} {name}": getattr(own, name)
            for tower, own in (("text", config.text_config), ("image", config.vision_config))
            for name in ("num_attention_heads", "hidden_act", "layer_norm_eps")
        },
    )


def _model_from_openai(state: Mapping[str, Tensor]) -> CLIPModel:
    from transformers import CLIPModel

    model = CLIPModel(config_from_openai(state))
    renamed = {name: tensor.float() for name, tensor in huggingface_names(state).items()}
    try:
        model.load_state_dict(renamed)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:60])
        raise InputError(f"state dict: expected all tensors of one CLIP, in matching shapes; got: {reason}") from error
    return model


def _model_from_huggingface(name: str, place: str) -> CLIPModel:
    from transformers import CLIPModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # the bar for a load of a second says nothing a user needs
    try:
        model, info = CLIPModel.from_pretrained(place, output_loading_info=True)
    except Exception as error:  # transformers, safetensors and torch raise many kinds for a broken file
        raise InputError(f"{name}: expected readable CLIP weights; got: {_first_line(error)}") from error
    absent = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if absent:
        raise InputError(
            f"{name}: expected every tensor of a CLIP model; {len(absent)} are missing or of another shape, such as "
            f"{', '.join(absent[:3])}. Download the model again."
        )
    return model


def _tokenizer(place: str | os.PathLike[str]) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(os.fspath(place))
    except Exception as error:
        raise InputError(
            f"{place}: expected a tokenizer ({' or '.join(_VOCABULARY)}); got: {_first_line(error)}"
        ) from error
    return tokenizer


def _stated_preprocessing(place: str) -> dict[str, Any]:
    """What the model's own preprocessor file states, if it has one. Only its mean and std are used."""
    from transformers.utils import cached_file

    found = cached_file(place, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
    stated: dict[str, Any] = json.loads(Path(found).read_text()) if found else {}
    return stated


def _check_folder(folder: Path, needs_tokenizer: bool) -> None:
    wanted = [("config.json",), _WEIGHTS] + ([_VOCABULARY] if needs_tokenizer else [])
    for names in wanted:
        if not any((folder / name).is_file() for name in names):
            raise InputError(
                f"{folder}: expected a model folder with {' or '.join(names)}; it has none. Download the model again."
            )


def _check_family(name: str, place: str) -> None:
    """Only models with CLIP's causal, EOT-pooled text tower qualify."""
    from transformers import PretrainedConfig

    try:
        config, _ = PretrainedConfig.get_config_dict(place)
    except Exception as error:
        raise InputError(
            f"{name}: expected {', '.join(BUNDLED)}, a model folder, or a hub id whose config.json can be read; "
            f"got: {_first_line(error)}"
        ) from error
    family = config.get("model_type")
    if family != "clip":
        raise InputError(
            f"{name}: expected a model of the CLIP family (model_type clip: OpenAI, LAION, DataComp, DFN, MetaCLIP), "
            f"whose text tower is causal and read at its end token; got model_type {family!r}."
        )


def _looks_like_hub_id(name: str) -> bool:
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and not name.startswith((".", "/", "~"))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
