"""What cannot work says why, in one line, before anything is computed."""

import json
import os

import golden_clip
import pytest
import torch
from clip_formats import STATES, TINY, with_config
from hugging_face_reference import hugging_face_model
from safetensors.torch import save_file

from cocoop import CLIP, InputError


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("visual.trunk.blocks.0.norm1.weight", "timm"),
        ("text.transformer.embeddings.word_embeddings.weight", "BERT"),
        ("logit_bias", "SigLIP"),
        ("module.visual.blocks.0.norm1.weight", "EVA"),
        ("text_model.embeddings.token_embedding.weight", "Hugging Face's names"),
        ("prompt_learner.ctx", "learned prompt"),
        ("meta_net.linear1.weight", "learned prompt"),
        ("visual.attn_pool.query", "1 more, such as 'visual.attn_pool.query'"),
        ("transformer.resblocks.0.ls_1.gamma", "ls_1"),
    ],
)
def test_by_its_tensors(tmp_path, name, match):
    torch.save(STATES["ViT"] | {name: torch.zeros(4)}, tmp_path / "model.bin")
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {"quick_gelu": true}}')
    with pytest.raises(InputError, match=match):
        CLIP.load(tmp_path / "model.bin", tokenizer=TINY)


@pytest.mark.parametrize(
    ("family", "match"),
    [("siglip", "bidirectional"), ("siglip2", "bidirectional"), ("chinese_clip", "BERT"), ("bert", "'bert'")],
)
def test_by_its_family(tmp_path, family, match):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=match):
        CLIP.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"positional_embedding": torch.zeros(128)}, "text tower"),
        ({"positional_embedding": torch.tensor(1.0)}, "positional_embedding.*shape"),
        ({"visual.conv1.weight": torch.zeros(128, 3, 8)}, "square patches"),
        ({"visual.positional_embedding": torch.zeros(19, 128)}, "square grid"),
        ({"visual.proj": torch.zeros(128, 16)}, "joint"),
        ({"token_embedding.weight": torch.zeros(0, 128)}, "shape"),
        ({"token_embedding.weight": torch.zeros(2125, 128, dtype=torch.int8)}, "Quantized"),
        ({"logit_scale": torch.tensor(1e6)}, "logit_scale"),
        ({"logit_scale": torch.zeros(2)}, "logit_scale"),
        ({"transformer.resblocks.0.attn.in_proj_weight": torch.zeros(4, 128)}, "text tower"),
        ({"visual.transformer.resblocks.0.attn.in_proj_weight": torch.zeros(4, 128)}, "image tower"),
        ({"visual.transformer.resblocks.0.attn.in_proj_weight": torch.zeros(2, 128)}, "image tower"),
        ({"transformer.resblocks.7.ln_1.weight": torch.zeros(128)}, r"resblocks\.3"),
        ({"transformer.resblocks.x.ln_1.weight": torch.zeros(128)}, r"resblocks\.3"),
    ],
)
def test_tensors_that_do_not_fit(change, match):
    with pytest.raises(InputError, match=match):
        CLIP.load(STATES["ViT"] | change, tokenizer=TINY)


def test_names_that_are_the_same_without_their_prefixes(tmp_path):
    twice = STATES["ViT"] | {"text.positional_embedding": torch.zeros(77, 128)}
    save_file(twice, with_config(tmp_path / "m", "ViT") / "open_clip_model.safetensors")
    with pytest.raises(InputError, match="same names"):
        CLIP.load(tmp_path / "m", tokenizer=TINY)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"text_config": {"num_hidden_layers": 2}}, r"text_config\.num_hidden_layers 2, and they have 3"),
        ({"vision_config": {"image_size": 224}}, r"vision_config\.image_size 224, and they have 32"),
        ({"vision_config": {"intermediate_size": 5}}, r"vision_config\.intermediate_size"),
        ({"projection_dim": 64}, "projection_dim 64"),
        ({"text_config": {"num_attention_heads": -2}}, "whole heads"),
        ({"text_config": {"layer_norm_eps": None}}, "eps"),
        ({"text_config": {"hidden_act": "relu"}}, "text activation"),
        ({"vision_config": {"hidden_act": "foo"}}, "image activation"),
        ({"text_config": {"eos_token_id": [1, 2]}}, "eos_token_id"),
        ({"text_config": "none"}, r"config\.json"),
        ({"model_type": ["clip"]}, "model_type"),
    ],
)
def test_a_hugging_face_config_that_does_not_fit(tmp_path, change, match):
    hugging_face_model(STATES["ViT"]).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for name, value in change.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=match):
        CLIP.load(tmp_path, tokenizer=TINY)


def test_the_file_that_is_named_is_the_one_that_is_read(tmp_path):
    model = hugging_face_model(STATES["ViT"])
    model.save_pretrained(tmp_path)
    torch.save({name: tensor * 0.5 for name, tensor in model.state_dict().items()}, tmp_path / "pytorch_model.bin")
    whole, tuned = (CLIP.load(tmp_path / name, tokenizer=TINY) for name in ("model.safetensors", "pytorch_model.bin"))
    assert whole.fingerprint == CLIP.load(tmp_path, tokenizer=TINY).fingerprint != tuned.fingerprint


@pytest.mark.parametrize("source", [{1: torch.ones(1)}, {"x": "y"}, 5, b"tiny", "", "a" * 5000, "x\0", "no/file.pt"])
def test_sources_that_are_none(source):
    with pytest.raises(InputError, match="expected"):
        CLIP.load(source, tokenizer=TINY)


def test_a_near_miss_of_a_name():
    with pytest.raises(InputError, match=r"no such folder or file\. Did you mean ViT-B/16\?"):
        CLIP.load("vit-b-16")


def test_a_link_to_nothing_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "gone").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"models/gone: expected .* got no such folder or file"):
        CLIP.load("models/gone")


def test_a_folder_of_a_learned_prompt(tmp_path):
    save_file({"ctx": torch.zeros(4, 128)}, tmp_path / "prompt.safetensors")
    (tmp_path / "config.json").write_text('{"class_names": []}')
    with pytest.raises(InputError, match="got a run folder"):
        CLIP.load(tmp_path)


def test_messages_begin_with_what_was_asked_for(tmp_path):
    hugging_face_model(STATES["ViT"], "relu").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=rf"^{tmp_path}: text activation: expected one of quick_gelu, gelu"):
        CLIP.load(tmp_path, tokenizer=TINY)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="something else"):
        CLIP.load(tmp_path / "pipe", tokenizer=TINY)


def test_a_tokenizer_with_another_end_token():
    class Other(golden_clip.StandInTokenizer):
        bos_token_id, eos_token_id = 0, 1

    with pytest.raises(InputError, match="EOT to be token 2124"):
        CLIP.load(STATES["ViT"], tokenizer=Other())
