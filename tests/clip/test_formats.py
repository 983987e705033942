"""One CLIP in every format that is read: the same features from each, and those of transformers' own forward."""

import shutil

import golden_clip
import pytest
import torch
from clip_formats import (
    STATES,
    TEXTS,
    TINY,
    TOLERANCE,
    as_custom_text,
    as_hugging_face,
    as_hugging_face_bin,
    as_hugging_face_shards,
    as_open_clip_bin,
    as_open_clip_safetensors,
    as_openai_archive,
    as_state_dict,
    as_training_checkpoint,
    features,
    pixels,
    theirs,
)
from hugging_face_reference import hugging_face_model
from torch_archives import write_openai_archive
from transformers import CLIPModel, MetaClip2Config, MetaClip2Model

from cocoop import CLIP, CoCoOp

EVERY_TOWER = [
    as_state_dict,
    as_openai_archive,
    as_open_clip_safetensors,
    as_open_clip_bin,
    as_training_checkpoint,
    as_custom_text,
]
FORMATS = [(form, kind) for form in EVERY_TOWER for kind in STATES]
FORMATS += [(form, "ViT") for form in (as_hugging_face, as_hugging_face_shards, as_hugging_face_bin)]


@pytest.fixture(scope="module")
def expected():
    found = {kind: CLIP.load(state, tokenizer=TINY, device="cpu") for kind, state in STATES.items()}
    return {kind: (*features(clip, kind), clip.fingerprint) for kind, clip in found.items()}


@pytest.mark.parametrize(("form", "kind"), FORMATS, ids=lambda value: getattr(value, "__name__", value))
def test_every_format_gives_the_same_features(form, kind, tmp_path, expected):
    clip = CLIP.load(form(tmp_path / "model", kind, STATES[kind]), tokenizer=TINY, device="cpu")
    images, texts = features(clip, kind)
    torch.testing.assert_close(images, expected[kind][0], **TOLERANCE)
    torch.testing.assert_close(texts, expected[kind][1], **TOLERANCE)
    assert clip.logit_scale == pytest.approx(float(STATES[kind]["logit_scale"].exp()), rel=1e-6)
    assert clip.fingerprint == expected[kind][2], "the same CLIP, whatever it was loaded from"


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_hugging_face_folders_equal_transformers_own_forward(tmp_path, activation):
    hugging_face_model(STATES["ViT"], activation).save_pretrained(tmp_path)
    clip = CLIP.load(tmp_path, tokenizer=TINY, device="cpu")
    for ours, reference in zip(features(clip, "ViT"), theirs(CLIPModel.from_pretrained(tmp_path), clip), strict=True):
        torch.testing.assert_close(ours, reference, **TOLERANCE)


def test_metaclip_2_equals_transformers_own_forward(tmp_path):
    """Its end token is not the last of its vocabulary."""
    config = MetaClip2Config(
        projection_dim=32,
        text_config={
            "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
            "vocab_size": 2200, "hidden_act": "gelu", "bos_token_id": 2123, "eos_token_id": 2124,
        },
        vision_config={
            "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96,
            "image_size": 32, "patch_size": 8, "hidden_act": "gelu",
        },
        initializer_factor=5.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MetaClip2Model(config).eval()
    model.save_pretrained(tmp_path)
    clip = CLIP.load(tmp_path, tokenizer=TINY, device="cpu")
    for ours, reference in zip(features(clip, "ViT"), theirs(model, clip), strict=True):
        torch.testing.assert_close(ours, reference, **TOLERANCE)


@pytest.mark.parametrize("form", [as_openai_archive, as_open_clip_bin, as_custom_text])
def test_golden_values_from_files(form, tmp_path):
    """`test_golden.py` has them from a state dict; the features here are the original code's own."""
    state = golden_clip.state_dict()
    place = form(tmp_path / "model", "ViT", state)
    if place.is_dir():
        (place / "open_clip_config.json").write_text('{"model_cfg": {"quick_gelu": true}}')
    clip = CLIP.load(place, tokenizer=golden_clip.StandInTokenizer(), device="cpu")
    features = clip.encode_images(golden_clip.pixels())
    torch.testing.assert_close(features, golden_clip.VALUES["image_features"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 4e-2)])
def test_a_float16_archive_runs_on_a_cpu(kind, dtype, tolerance, tmp_path):
    write_openai_archive(tmp_path / "model.pt", STATES[kind])
    clip = CLIP.load(tmp_path / "model.pt", tokenizer=TINY, device="cpu", dtype=dtype)
    assert {p.dtype for p in [*clip.text.parameters(), *clip.image_tower.parameters()]} == {getattr(torch, dtype)}
    rounded = {
        name: tensor.half().float() if tensor.is_floating_point() else tensor for name, tensor in STATES[kind].items()
    }
    reference = CLIP.load(rounded, tokenizer=TINY, device="cpu")
    for ours, other in zip(features(clip, kind), features(reference, kind), strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=tolerance)
    model = CoCoOp(clip, ["star", "heart"])
    assert model(clip.encode_images(pixels(kind))).isfinite().all()


def test_the_users_tensors_are_not_shared():
    state = {name: tensor.clone() for name, tensor in STATES["ViT"].items()}
    clip = CLIP.load(state, tokenizer=TINY, device="cpu")
    before = clip.encode_texts(TEXTS)
    for tensor in state.values():
        tensor.zero_()
    assert torch.equal(clip.encode_texts(TEXTS), before)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_a_state_dict_with_the_prefixes_of_wrappers(prefix, expected):
    state = {prefix + name: tensor for name, tensor in STATES["ViT"].items()}
    assert CLIP.load(state, tokenizer=TINY, device="cpu").fingerprint == expected["ViT"][2]


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("RN50", "timm/resnet50_clip.openai"),
        ("ViT-B/16@main", "openai/clip-vit-base-patch16@main"),
        ("ViT-L/14@336px", "openai/clip-vit-large-patch14-336"),
        ("ViT-L/14@336px@v2", "openai/clip-vit-large-patch14-336@v2"),
        ("someone/model@v1", "someone/model@v1"),
    ],
)
def test_names_of_the_hub(name, hub_id, tmp_path, monkeypatch):
    """The folder that the hub's client gives is read like any other; tests/clip/test_hub.py has the client."""
    asked = []
    as_open_clip_safetensors(tmp_path / "snapshot", "ViT", STATES["ViT"])
    shutil.copy(TINY / "tokenizer.json", tmp_path / "snapshot")
    shutil.copy(TINY / "tokenizer_config.json", tmp_path / "snapshot")
    monkeypatch.setattr(
        "cocoop.clip.sources.load.download", lambda *given: asked.append(given[0]) or tmp_path / "snapshot"
    )
    clip = CLIP.load(name, device="cpu")
    assert (asked, clip.name) == ([hub_id], name)
    file = tmp_path / "snapshot" / "open_clip_model.safetensors"
    assert CLIP.load(file, device="cpu").token_ids("seven") == clip.token_ids("seven"), "the tokenizer beside it"


@pytest.mark.parametrize(
    ("file", "hub_id"),
    [
        ("ViT-B-16.pt", "openai/clip-vit-base-patch16"),
        ("ViT-L-14-336px.pt", "openai/clip-vit-large-patch14-336"),
        ("RN50x4.pt", "timm/resnet50x4_clip.openai"),
        ("renamed.pt", "openai/clip-vit-base-patch32"),
    ],
)
def test_an_archive_takes_the_tokenizer_of_the_matching_hub_id(file, hub_id, tmp_path, monkeypatch):
    """All of OpenAI's models have the same; whoever has that model in the cache needs no other."""
    asked = []

    def default_tokenizer(*given):
        asked.append(given)
        return golden_clip.StandInTokenizer()

    monkeypatch.setattr("cocoop.clip.sources.load.default_tokenizer", default_tokenizer)
    write_openai_archive(tmp_path / file, golden_clip.state_dict())
    clip = CLIP.load(tmp_path / file, device="cpu")
    assert (asked, clip.tokenizer_source) == ([(hub_id, str(tmp_path / file))], None)
