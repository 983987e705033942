"""What the original code computes, written down again from its description, slowly and at full length; and its log.

A prompt is [SOS, context, name, ".", EOT, zeros] of 77 tokens; CoCoOp runs the text transformer over all classes for
each image, in a loop. Source: CoOp:trainers/cocoop.py and coop.py @ ff61507c; openai/CLIP clip/model.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

LENGTH = 77
SOS, EOT = 49406, 49407


def token_rows(names: Sequence[Sequence[int]], context_length: int, ends: tuple[int, int] = (SOS, EOT)) -> Tensor:
    """Token ids [K, 77] of names with their ".", behind a context whose own tokens do not matter (7)."""
    rows = torch.zeros(len(names), LENGTH, dtype=torch.int64)
    for row, name in zip(rows, names, strict=True):
        tokens = [ends[0], *[7] * context_length, *name, ends[1]]
        row[: len(tokens)] = torch.tensor(tokens)
    return rows


def buffers(embedding: Tensor, rows: Tensor, context_length: int) -> dict[str, Tensor]:
    embedded = embedding[rows]
    return {"token_prefix": embedded[:, :1], "token_suffix": embedded[:, 1 + context_length :]}


def encode_text(clip: Mapping[str, Tensor], prompts: Tensor, end: Tensor) -> Tensor:
    """Embedded prompts [K, 77, D] read at `end` [K] -> text features [K, E], not unit."""
    x = prompts + clip["positional_embedding"]
    mask = torch.full((LENGTH, LENGTH), -torch.inf, dtype=x.dtype).triu(1)
    layers = len([name for name in clip if name.startswith("transformer") and name.endswith("in_proj_weight")])
    for layer in range(layers):
        part = {name.split(f"resblocks.{layer}.")[1]: t for name, t in clip.items() if f"er.resblocks.{layer}." in name
                and not name.startswith("visual")}  # fmt: skip
        width = x.shape[-1]
        h = nn.functional.layer_norm(x, (width,), part["ln_1.weight"], part["ln_1.bias"])
        q, k, v = (h @ part["attn.in_proj_weight"].T + part["attn.in_proj_bias"]).chunk(3, dim=-1)
        heads = [t.unflatten(-1, (width // 64, 64)).transpose(1, 2) for t in (q, k, v)]
        weights = (heads[0] @ heads[1].transpose(2, 3) / 8 + mask).softmax(dim=-1)
        mixed = (weights @ heads[2]).transpose(1, 2).flatten(2)
        x = x + mixed @ part["attn.out_proj.weight"].T + part["attn.out_proj.bias"]
        h = nn.functional.layer_norm(x, (width,), part["ln_2.weight"], part["ln_2.bias"])
        h = h @ part["mlp.c_fc.weight"].T + part["mlp.c_fc.bias"]
        x = x + (h * (1.702 * h).sigmoid()) @ part["mlp.c_proj.weight"].T + part["mlp.c_proj.bias"]
    x = nn.functional.layer_norm(x, (x.shape[-1],), clip["ln_final.weight"], clip["ln_final.bias"])
    return x[torch.arange(len(x)), end] @ clip["text_projection"]


def cocoop_logits(
    clip: Mapping[str, Tensor], learned: Mapping[str, Tensor], rows: Tensor, image_features: Tensor
) -> Tensor:
    """Unit image features [B, E] -> logits [B, K], in float64."""
    clip = {name: tensor.double() for name, tensor in clip.items()}
    learned = {name: tensor.double() for name, tensor in learned.items()}
    held = buffers(clip["token_embedding.weight"], rows, len(learned["ctx"]))
    logits = []
    for x in image_features.double():
        hidden = (learned["meta_net.linear1.weight"] @ x + learned["meta_net.linear1.bias"]).relu()
        pi = learned["meta_net.linear2.weight"] @ hidden + learned["meta_net.linear2.bias"]
        context = (learned["ctx"] + pi).expand(len(rows), -1, -1)
        prompts = torch.cat([held["token_prefix"], context, held["token_suffix"]], dim=1)
        features = encode_text(clip, prompts, rows.argmax(dim=1))
        features = features / features.norm(dim=1, keepdim=True)
        logits.append(clip["logit_scale"].exp() * features @ x)
    return torch.stack(logits)


LOG = """\
***************
** Arguments **
***************
backbone: 
config_file: configs/trainers/CoOp/rn50.yaml
dataset_config_file: configs/datasets/oxford_pets.yaml
seed: 2
************
** Config **
************
DATASET:
  NAME: OxfordPets
  NUM_SHOTS: 16
  SUBSAMPLE_CLASSES: all
MODEL:
  BACKBONE:
    NAME: RN50
OPTIM:
  MAX_EPOCH: 50
SEED: 2
TRAINER:
  COOP:
    CLASS_TOKEN_POSITION: middle
    CSC: False
    N_CTX: 16
  NAME: CoOp
Loading trainer: CoOp
SEED: 99
"""
"""The beginning of a log."""
