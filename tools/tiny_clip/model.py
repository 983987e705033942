"""The small CLIP itself: its sizes, its first weights, and the folder that it is saved in."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from cocoop.data.drawn.distort import SIZE

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
TRAINED_POSITIONS = 32  # captions are shorter than this; later positions stay zero, which does no harm


class FusedQuickGELU(torch.nn.Module):
    """CLIP's activation x sigmoid(1.702 x), written as silu(1.702 x) / 1.702: one kernel, twice as fast a step."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, element by element."""
        return torch.nn.functional.silu(1.702 * x) / 1.702


def build(vocabulary: int, start: int, end: int) -> CLIPModel:
    """A fresh model: 4 + 3 layers of width 192 and 128, 17 image tokens, joint width 128."""
    config = CLIPConfig(
        projection_dim=128,
        vision_config={
            "image_size": SIZE,
            "patch_size": 8,
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "projection_dim": 128,
        },
        text_config={
            "vocab_size": vocabulary,
            "bos_token_id": start,
            "eos_token_id": end,
            "pad_token_id": end,
            "max_position_embeddings": 77,
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "projection_dim": 128,
        },
    )
    model = CLIPModel(config)
    for tower in (model.vision_model, model.text_model):
        for layer in tower.encoder.layers:
            layer.mlp.activation_fn = FusedQuickGELU()
    with torch.no_grad():
        model.text_model.embeddings.position_embedding.weight[TRAINED_POSITIONS:] = 0
    return model


def normalise(pixels: Tensor) -> Tensor:
    """Bytes [B, 32, 32, 3] -> what the image tower reads, [B, 3, 32, 32]."""
    scaled = pixels.float() / 255
    return ((scaled - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2).contiguous()


def image_features(model: CLIPModel, pixels: Tensor) -> Tensor:
    """Bytes [B, 32, 32, 3] -> unit features [B, E]."""
    pooled = model.vision_model(pixel_values=normalise(pixels)).pooler_output
    return torch.nn.functional.normalize(model.visual_projection(pooled), dim=-1)


def text_features(model: CLIPModel, ids: Tensor) -> Tensor:
    """Token ids [N, L], padded with the end token -> unit features [N, E]."""
    pooled = model.text_model(input_ids=ids).pooler_output
    return torch.nn.functional.normalize(model.text_projection(pooled), dim=-1)


def save(model: CLIPModel, folder: Path) -> None:
    """Writes config, float16 weights and the image transform, each file put in place in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    transform = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": SIZE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIZE, "width": SIZE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "do_convert_rgb": True,
        "augment": False,  # its images are signs: cut or mirrored they are others; see `stated_augment`
    }
    half = CLIPModel(model.config)
    half.load_state_dict(model.state_dict())
    with TemporaryDirectory(dir=folder.parent) as scratch:
        half.half().save_pretrained(scratch)
        config = Path(scratch) / "config.json"  # stored in half the space, meant to be computed with in float32
        config.write_text(config.read_text().replace('"dtype": "float16"', '"dtype": "float32"'))
        (Path(scratch) / "preprocessor_config.json").write_text(json.dumps(transform, indent=2) + "\n")
        for file in Path(scratch).iterdir():
            os.chmod(file, 0o644)
            os.replace(file, folder / file.name)
