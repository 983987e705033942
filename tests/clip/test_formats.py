"""One CLIP in every format that is read: the same features from each, and those of transformers' own forward."""

import json
import os

import golden_clip
import pytest
import torch
from hugging_face_reference import hugging_face_model
from random_states import random_clip_state
from safetensors.torch import save_file
from torch_archives import write_openai_archive
from transformers import CLIPModel, MetaClip2Config, MetaClip2Model

from cocoop import CLIP, CoCoOp, InputError
from cocoop.clip.loading import BUNDLED

TINY = BUNDLED["tiny"]  # its tokenizer
TOLERANCE = {"rtol": 0, "atol": 1e-5}
TEXTS = ["a photo of a seven.", "star", "a heart and an arrow"]


def vit_state(seed=3):
    """A small CLIP with a vision transformer and the bundled CLIP's vocabulary."""
    from cocoop.bench import random_state
    from cocoop.bench.shapes import Shape

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


def as_legacy_file(folder, kind, state):
    path = with_config(folder, kind) / "model.pt"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


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


EVERY_TOWER = [
    as_state_dict,
    as_openai_archive,
    as_open_clip_safetensors,
    as_open_clip_bin,
    as_training_checkpoint,
    as_custom_text,
    as_legacy_file,
]
FORMATS = [(form, kind) for form in EVERY_TOWER for kind in STATES]
FORMATS += [(form, "ViT") for form in (as_hugging_face, as_hugging_face_shards, as_hugging_face_bin)]


def pixels(kind):
    return torch.randn(3, 3, SIZES[kind], SIZES[kind], generator=torch.Generator().manual_seed(1))


def features(clip, kind):
    return clip.encode_images(pixels(kind)), clip.encode_texts(TEXTS)


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


def theirs(model, clip):
    """transformers' own image and text features."""
    rows = [[clip.tokenizer.bos_token_id, *clip.token_ids(text), clip.tokenizer.eos_token_id] for text in TEXTS]
    ids = torch.full((len(rows), 77), clip.tokenizer.eos_token_id)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    with torch.no_grad():
        out = model(input_ids=ids, pixel_values=pixels("ViT"))
    return out.image_embeds, out.text_embeds


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


class TestOpenClipSettings:
    """What open_clip's config says that the tensors do not show."""

    def test_a_file_alone_needs_to_be_told_the_activation(self, tmp_path):
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

    def test_open_clips_own_description_of_a_model_will_do(self, tmp_path):
        """It has no "model_cfg" around it (open_clip's model_configs/)."""
        save_file(STATES["ViT"], tmp_path / "open_clip_model.safetensors")
        (tmp_path / "open_clip_config.json").write_text(json.dumps(open_clip_config("ViT")["model_cfg"]))
        assert CLIP.load(tmp_path, tokenizer=TINY, device="cpu").formula["text hidden_act"] == "quick_gelu"

    @pytest.mark.parametrize("config", ["{}", '{"model_cfg": {}}', '{"model_cfg": 3}', '{"quick_gelu": "false"}', "[]"])
    def test_a_config_that_says_nothing_is_refused(self, tmp_path, config):
        save_file(STATES["ViT"], tmp_path / "open_clip_model.safetensors")
        (tmp_path / "open_clip_config.json").write_text(config)
        with pytest.raises(InputError, match=r"open_clip_config\.json"):
            CLIP.load(tmp_path, tokenizer=TINY)

    def test_without_quick_gelu_it_is_gelu(self, tmp_path):
        """As in open_clip. The reference is transformers' forward with its own GELU."""
        save_file(STATES["ViT"], with_config(tmp_path / "m", "ViT", quick_gelu=False) / "open_clip_model.safetensors")
        clip = CLIP.load(tmp_path / "m", tokenizer=TINY, device="cpu")
        reference = theirs(hugging_face_model(STATES["ViT"], "gelu"), clip)
        for ours, other in zip(features(clip, "ViT"), reference, strict=True):
            torch.testing.assert_close(ours, other, **TOLERANCE)

    def test_heads_and_eps_are_the_configs(self, tmp_path):
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
            ("text_cfg", "heads", float("inf"), "expected numbers for heads"),
            ("text_cfg", "norm_kwargs", {"eps": float("nan")}, "eps of the layer norms"),
            ("text_cfg", "hf_tokenizer_name", "../..", "hub id"),
            ("text_cfg", "hf_tokenizer_name", ["a"], "hub id"),
            ("text_cfg", "tokenizer_kwargs", {"clean": "canonicalize"}, "changes what the towers compute"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, tmp_path, part, key, value, match):
        config = open_clip_config("ViT")
        config["model_cfg"][part][key] = value
        save_file(STATES["ViT"], tmp_path / "open_clip_model.safetensors")
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=match):
            CLIP.load(tmp_path, tokenizer=TINY)

    def test_wide_heads_of_large_towers(self, tmp_path):
        """ViT-H's width is 1280 in 16 heads."""
        from cocoop.bench import random_state
        from cocoop.bench.shapes import Shape

        torch.save(random_state(Shape(16, 64, 1, 16, 8, 1280, 1, vocabulary=2125)), tmp_path / "model.pt")
        for vision, heads in (({}, 16), ({"width": 1280}, 20), ({"width": 1280, "head_width": 80}, 16)):
            config = {"quick_gelu": False, "vision_cfg": vision}
            (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
            clip = CLIP.load(tmp_path / "model.pt", tokenizer=TINY, device="cpu")
            assert clip.formula["image num_attention_heads"] == heads, "64 wide is open_clip's default"


class TestRefusals:
    """What cannot work says why, before anything is computed."""

    @pytest.mark.parametrize(
        ("name", "match"),
        [
            ("visual.trunk.blocks.0.norm1.weight", "timm"),
            ("text.transformer.embeddings.word_embeddings.weight", "BERT"),
            ("logit_bias", "SigLIP"),
            ("module.visual.blocks.0.norm1.weight", "EVA"),
            ("text_model.embeddings.token_embedding.weight", "Hugging Face's names"),
            ("prompt_learner.ctx", "learned prompt"),
            ("visual.attn_pool.query", "1 more, such as 'visual.attn_pool.query'"),
            ("transformer.resblocks.0.ls_1.gamma", "ls_1"),
        ],
    )
    def test_by_its_tensors(self, tmp_path, name, match):
        torch.save(STATES["ViT"] | {name: torch.zeros(4)}, tmp_path / "model.bin")
        (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {"quick_gelu": true}}')
        with pytest.raises(InputError, match=match):
            CLIP.load(tmp_path / "model.bin", tokenizer=TINY)

    @pytest.mark.parametrize(
        ("family", "match"),
        [("siglip", "bidirectional"), ("siglip2", "bidirectional"), ("chinese_clip", "BERT"), ("bert", "'bert'")],
    )
    def test_by_its_family(self, tmp_path, family, match):
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
    def test_tensors_that_do_not_fit(self, change, match):
        with pytest.raises(InputError, match=match):
            CLIP.load(STATES["ViT"] | change, tokenizer=TINY)

    def test_names_that_are_the_same_without_their_prefixes(self, tmp_path):
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
    def test_a_hugging_face_config_that_does_not_fit(self, tmp_path, change, match):
        hugging_face_model(STATES["ViT"]).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        for name, value in change.items():
            config[name] = config[name] | value if isinstance(value, dict) else value
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=match):
            CLIP.load(tmp_path, tokenizer=TINY)

    def test_the_file_that_is_named_is_the_one_that_is_read(self, tmp_path):
        model = hugging_face_model(STATES["ViT"])
        model.save_pretrained(tmp_path)
        torch.save({name: tensor * 0.5 for name, tensor in model.state_dict().items()}, tmp_path / "pytorch_model.bin")
        whole, tuned = (
            CLIP.load(tmp_path / name, tokenizer=TINY) for name in ("model.safetensors", "pytorch_model.bin")
        )
        assert whole.fingerprint == CLIP.load(tmp_path, tokenizer=TINY).fingerprint != tuned.fingerprint

    @pytest.mark.parametrize(
        "source", [{1: torch.ones(1)}, {"x": "y"}, 5, b"tiny", "", "a" * 5000, "x\0", "no/file.pt"]
    )
    def test_sources_that_are_none(self, source):
        with pytest.raises(InputError, match="expected"):
            CLIP.load(source, tokenizer=TINY)

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="something else"):
            CLIP.load(tmp_path / "pipe", tokenizer=TINY)

    def test_a_tokenizer_with_another_end_token(self):
        class Other(golden_clip.StandInTokenizer):
            bos_token_id, eos_token_id = 0, 1

        with pytest.raises(InputError, match="EOT to be token 2124"):
            CLIP.load(STATES["ViT"], tokenizer=Other())
