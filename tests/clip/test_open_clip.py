"""What open_clip's config says that the tensors do not show."""

import json

import pytest
import torch
from clip_formats import STATES, TINY, TOLERANCE, features, open_clip_config, theirs, with_config
from hugging_face_reference import hugging_face_model
from safetensors.torch import save_file

from cocoop import CLIP, InputError
from cocoop.bench import random_state
from cocoop.bench.shapes import Shape
from cocoop.clip.sources.families import Checkpoint, read_towers


def test_a_file_alone_needs_to_be_told_the_activation(tmp_path):
    path = tmp_path / "vit_b_32-laion400m.pt"
    torch.save(STATES["ViT"], path)
    with pytest.raises(InputError, match=r'open_clip_config\.json beside it.*{"model_cfg": {"quick_gelu": true}}'):
        CLIP.load(path, tokenizer=TINY)
    for value in (True, False):
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"quick_gelu": value}}))
        told = CLIP.load(STATES["ViT"], tokenizer=TINY, device="cpu", quick_gelu=value)
        assert CLIP.load(path, tokenizer=TINY, device="cpu").fingerprint == told.fingerprint
    with pytest.raises(InputError, match=r"quick_gelu: expected nothing.*open_clip_config\.json"):
        CLIP.load(path, tokenizer=TINY, quick_gelu=True)
    with pytest.raises(InputError, match="quick_gelu: expected True, False or None; got 'yes'"):
        CLIP.load(STATES["ViT"], tokenizer=TINY, quick_gelu="yes")


def test_open_clips_own_description_of_a_model_will_do(tmp_path):
    """It has no "model_cfg" around it (open_clip's model_configs/)."""
    save_file(STATES["ViT"], tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(open_clip_config("ViT")["model_cfg"]))
    assert CLIP.load(tmp_path, tokenizer=TINY, device="cpu").formula["text hidden_act"] == "quick_gelu"


@pytest.mark.parametrize("config", ["{}", '{"model_cfg": {}}', '{"model_cfg": 3}', '{"quick_gelu": "false"}', "[]"])
def test_a_config_that_says_nothing_is_refused(tmp_path, config):
    save_file(STATES["ViT"], tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(config)
    with pytest.raises(InputError, match=r"open_clip_config\.json"):
        CLIP.load(tmp_path, tokenizer=TINY)


def test_without_quick_gelu_it_is_gelu(tmp_path):
    """As in open_clip. The reference is transformers' forward with its own GELU."""
    save_file(STATES["ViT"], with_config(tmp_path / "m", "ViT", quick_gelu=False) / "open_clip_model.safetensors")
    clip = CLIP.load(tmp_path / "m", tokenizer=TINY, device="cpu")
    reference = theirs(hugging_face_model(STATES["ViT"], "gelu"), clip)
    for ours, other in zip(features(clip, "ViT"), reference, strict=True):
        torch.testing.assert_close(ours, other, **TOLERANCE)


def test_heads_and_eps_are_the_configs(tmp_path):
    config = open_clip_config("ViT")
    config["model_cfg"]["vision_cfg"] |= {"head_width": 32, "norm_kwargs": {"eps": 1e-6}}
    config["model_cfg"]["text_cfg"] |= {"heads": 8}
    save_file(STATES["ViT"], tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    clip = CLIP.load(tmp_path, tokenizer=TINY, device="cpu")
    assert clip.formula == {
        "text num_attention_heads": 8, "text hidden_act": "quick_gelu", "text layer_norm_eps": 1e-5,
        "image num_attention_heads": 4, "image hidden_act": "quick_gelu", "image layer_norm_eps": 1e-6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("part", "key", "value", "match"),
    [
        ("text_cfg", "width", 256, r"text_cfg width 256, and they have 128"),
        ("vision_cfg", "image_size", 224, r"vision_cfg image_size 224, and they have 32"),
        ("text_cfg", "no_causal_mask", True, "bidirectional"),
        ("text_cfg", "pool_type", "last", "changes what the towers compute"),
        ("text_cfg", "hf_model_name", "roberta-base", "BERT-like"),
        ("vision_cfg", "timm_model_name", "vit_base_patch16_siglip_224", "timm"),
        ("vision_cfg", "pool_type", "avg", "changes what the towers compute"),
        ("vision_cfg", "a_setting_of_the_future", 3, "changes what the towers compute"),
        ("text_cfg", "heads", "many", "expected numbers for heads"),
        ("text_cfg", "heads", 3, "whole heads"),
        ("vision_cfg", "head_width", 48, "whole heads"),
        ("text_cfg", "heads", -2, "whole heads"),
        ("text_cfg", "heads", float("inf"), "expected settings in JSON"),
        ("text_cfg", "norm_kwargs", {"eps": float("nan")}, "expected settings in JSON"),
        ("text_cfg", "norm_kwargs", {"eps": -1.0}, "eps of the layer norms"),
        ("text_cfg", "tokenizer_kwargs", {"clean": "canonicalize"}, "cleaned in open_clip's usual way"),
        ("text_cfg", "tokenizer_kwargs", {"clean": "whitespace"}, "cleaned in open_clip's usual way"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, part, key, value, match):
    config = open_clip_config("ViT")
    config["model_cfg"][part][key] = value
    save_file(STATES["ViT"], tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=match):
        CLIP.load(tmp_path, tokenizer=TINY)


def test_wide_heads_of_large_towers(tmp_path):
    """ViT-H's width is 1280 in 16 heads."""
    torch.save(random_state(Shape(16, 64, 1, 16, 8, 1280, 1, vocabulary=2125)), tmp_path / "model.pt")
    for vision, heads in (({}, 16), ({"width": 1280}, 20), ({"width": 1280, "head_width": 80}, 16)):
        config = {"quick_gelu": False, "vision_cfg": vision}
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
        clip = CLIP.load(tmp_path / "model.pt", tokenizer=TINY, device="cpu")
        assert clip.formula["image num_attention_heads"] == heads, "64 wide is open_clip's default"


def changed(folder, **text):
    """The small CLIP with other settings of its text tower, written as open_clip does."""
    config = open_clip_config("ViT")
    config["model_cfg"]["text_cfg"] |= text
    config["model_cfg"]["vision_cfg"]["image_size"] = [32, 32]
    save_file(STATES["ViT"], folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", ["../..", "/etc", "bert-base-uncased", 5, ["a"]])
def test_the_tokenizer_that_a_config_names_is_a_hub_id_and_no_path(tmp_path, name):
    folder = changed(tmp_path, hf_tokenizer_name=name)
    with pytest.raises(InputError, match=r"which is no hub id \(owner/name\)\. Say where it is: --tokenizer"):
        CLIP.load(folder)
    assert CLIP.load(folder, tokenizer=TINY, device="cpu").embed_dim == 32, "it is not needed where another is given"


@pytest.mark.parametrize(
    ("settings", "eos"), [({}, 2124), ({"pool_type": "eos"}, 2), ({"pool_type": "eos", "eos_id": 7}, 7)]
)
def test_the_token_that_the_text_is_read_at(tmp_path, settings, eos):
    """open_clip: the largest, or eos_id, which is 2 by default."""
    config = json.loads((changed(tmp_path, **settings) / "open_clip_config.json").read_text())
    checkpoint = Checkpoint("m", STATES["ViT"], config)
    assert read_towers("open_clip", checkpoint).eos_token_id == eos


@pytest.mark.parametrize("settings", [{"clean": "lower"}, {}, None])
def test_the_usual_cleaning_may_be_stated(tmp_path, settings):
    assert CLIP.load(changed(tmp_path, tokenizer_kwargs=settings), tokenizer=TINY, device="cpu").embed_dim == 32


def test_texts_of_other_tokenizers_are_not_made_lower_case(tmp_path):
    folder = changed(tmp_path, hf_tokenizer_name="facebook/xlm-v-base", tokenizer_kwargs={"clean": "lower"})
    with pytest.raises(InputError, match="usual way"):
        CLIP.load(folder, tokenizer=TINY)
