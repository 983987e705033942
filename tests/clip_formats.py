"""Small random CLIPs, what writes them in each format that is read, and what they compute."""

import json

import torch
from hugging_face_reference import hugging_face_model
from random_states import random_clip_state
from safetensors.torch import save_file
from torch_archives import write_openai_archive

from cocoop.bench import random_state
from cocoop.bench.shapes import Shape
from cocoop.clip.sources.load import BUNDLED

TINY = BUNDLED["tiny"]  # its tokenizer
TOLERANCE = {"rtol": 0, "atol": 1e-5}
TEXTS = ["a photo of a seven.", "star", "a heart and an arrow"]


def vit_state(seed=3):
    """A small CLIP with a vision transformer and the bundled CLIP's vocabulary."""
    state = random_state(Shape(32, 128, 3, 32, 8, 128, 2, vocabulary=2125), seed)
    generator = torch.Generator().manual_seed(seed)
    # Zero biases and unit norms would hide a mistaken name.
    return {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator) if tensor.dim() == 1 else tensor
        for name, tensor in state.items()
    }


STATES = {"ViT": vit_state(), "ResNet": random_clip_state()}
SIZES = {"ViT": 32, "ResNet": 64}


def open_clip_config(kind, quick_gelu=True):
    vision = {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 2125, "width": 128, "heads": 2, "layers": 3}
    if kind == "ResNet":
        vision = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "patch_size": None}
        text |= {"width": 64, "heads": 1, "layers": 2}
    return {"model_cfg": {"embed_dim": 32, "quick_gelu": quick_gelu, "vision_cfg": vision, "text_cfg": text}}


def with_config(folder, kind, **settings):
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(open_clip_config(kind, **settings)))
    return folder


def as_state_dict(folder, kind, state):
    return state


def as_openai_archive(folder, kind, state):
    folder.mkdir()
    write_openai_archive(folder / "model.pt", state, half=False)
    return folder / "model.pt"


def as_open_clip_safetensors(folder, kind, state):
    save_file(state, with_config(folder, kind) / "open_clip_model.safetensors")
    return folder


def as_open_clip_bin(folder, kind, state):
    torch.save(state, with_config(folder, kind) / "open_clip_pytorch_model.bin")
    return folder


def as_training_checkpoint(folder, kind, state):
    """As open_clip's training leaves it, distributed, with an optimizer's state beside."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "name": "run",
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "optimizer": optimizer.state_dict(),
    }
    torch.save(checkpoint, with_config(folder, kind) / "epoch_3.pt")
    return folder / "epoch_3.pt"


def as_custom_text(folder, kind, state):
    """As open_clip's class with a text tower of its own names it, with the causal mask that some versions keep."""
    outside = ("visual.", "logit_scale")
    renamed = {name if name.startswith(outside) else f"text.{name}": tensor for name, tensor in state.items()}
    renamed["text.attn_mask"] = torch.full((77, 77), float("-inf")).triu(1)
    torch.save(renamed, with_config(folder, kind) / "open_clip_pytorch_model.bin")
    return folder


def as_hugging_face(folder, kind, state):
    hugging_face_model(state).save_pretrained(folder)
    return folder


def as_hugging_face_shards(folder, kind, state):
    hugging_face_model(state).save_pretrained(folder, max_shard_size="500KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


def as_hugging_face_bin(folder, kind, state):
    model = hugging_face_model(state)
    model.config.save_pretrained(folder)
    old = {"text_model.embeddings.position_ids": torch.arange(77)[None]}  # as transformers wrote until 2023
    torch.save(model.state_dict() | old, folder / "pytorch_model.bin")
    return folder


def pixels(kind):
    return torch.randn(3, 3, SIZES[kind], SIZES[kind], generator=torch.Generator().manual_seed(1))


def features(clip, kind):
    return clip.encode_images(pixels(kind)), clip.encode_texts(TEXTS)


def theirs(model, clip):
    """transformers' own image and text features."""
    rows = [[clip.tokenizer.bos_token_id, *clip.token_ids(text), clip.tokenizer.eos_token_id] for text in TEXTS]
    ids = torch.full((len(rows), 77), clip.tokenizer.eos_token_id)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    with torch.no_grad():
        out = model(input_ids=ids, pixel_values=pixels("ViT"))
    return out.image_embeds, out.text_embeds
