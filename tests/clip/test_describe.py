"""What `describe` says of a CLIP: sizes against its own files, memory against what is measured."""

import json

import pytest
import torch
from peak_bytes import PeakBytes
from random_states import random_clip_state
from safetensors import safe_open
from torch.nn import functional as F

from cocoop import CLIP, CoCoOp, InputError
from cocoop.bench import Shape, class_names, random_clip
from cocoop.clip.describe import MOST_CLASSES, describe
from cocoop.clip.sources.load import BUNDLED

TWELVE_LAYERS = Shape(64, 64, 12, 16, 8, 64, 1, vocabulary=2125)


@pytest.fixture(scope="module")
def described(tiny):
    return describe(tiny, [10])


def test_sizes_are_those_of_the_models_own_config(tiny, described):
    config = json.loads((BUNDLED["tiny"] / "config.json").read_text())
    text, image = config["text_config"], config["vision_config"]
    assert described["text_tower"] == {
        "kind": "causal transformer",
        "layers": text["num_hidden_layers"],
        "width": text["hidden_size"],
        "hidden": text["intermediate_size"],
        "heads": text["num_attention_heads"],
        "activation": text["hidden_act"],
        "context_length": text["max_position_embeddings"],
        "vocabulary": text["vocab_size"],
    }
    assert described["image_tower"] == {
        "kind": "vision transformer",
        "layers": image["num_hidden_layers"],
        "width": image["hidden_size"],
        "hidden": image["intermediate_size"],
        "heads": image["num_attention_heads"],
        "patch": image["patch_size"],
        "image_size": image["image_size"],
        "activation": image["hidden_act"],
        "joint_width": config["projection_dim"],
    }
    assert described["joint_width"] == config["projection_dim"]
    stated = json.loads((BUNDLED["tiny"] / "preprocessor_config.json").read_text())
    assert described["transform"] == {
        "size": image["image_size"],
        "resize_mode": "shortest",
        "interpolation": "bicubic",
        "mean": stated["image_mean"],
        "std": stated["image_std"],
    }


def test_parameters_are_those_in_the_file(described):
    sizes, scale = {}, None
    with safe_open(BUNDLED["tiny"] / "model.safetensors", "pt") as file:
        for name in file.keys():  # noqa: SIM118  it is no mapping
            tensor = file.get_tensor(name)
            half = "image" if name.startswith("visi") or name.startswith("visual") else "text"
            if name == "logit_scale":
                scale = tensor.double().exp().item()
            else:
                sizes[half] = sizes.get(half, 0) + tensor.numel()
    assert described["parameters"] == sizes | {"all": sum(sizes.values()) + 1}
    assert described["weights_mb"] == pytest.approx(4 * sum(sizes.values()) / 1e6)
    assert described["logit_scale"] == pytest.approx(scale)


def test_the_rest_is_what_it_was_loaded_as(tiny, described):
    assert (described["name"], described["dtype"], described["device"]) == ("tiny", "float32", "cpu")
    assert described["tokenizer"] == {"class": type(tiny.tokenizer).__name__, "vocabulary": 2125, "source": None}
    assert described["fingerprint"] == tiny.fingerprint
    assert json.loads(json.dumps(described)) == described
    half = describe(CLIP.load("tiny", tokenizer=BUNDLED["tiny"], device="cpu", dtype="bfloat16"), [])
    assert half["weights_mb"] == described["weights_mb"] / 2 and half["dtype"] == "bfloat16"
    assert half["tokenizer"]["source"] == str(BUNDLED["tiny"]) and half["memory"] == []


def test_a_tokenizer_that_does_not_say_its_size(golden):
    assert describe(golden, [])["tokenizer"] == {"class": "StandInTokenizer", "vocabulary": None, "source": None}


def test_a_resnet():
    state = random_clip_state()
    described = describe(CLIP.load(state, BUNDLED["tiny"], device="cpu"), [])
    tower = described["image_tower"]
    assert tower["kind"] == "ResNet" and tower["joint_width"] == described["joint_width"]
    assert tower["width"] == len(state["visual.layer1.0.conv1.weight"])
    # Its norms are folded into the convolutions: of a norm's four vectors one is left.
    whole = sum(tensor.numel() for name, tensor in state.items() if name.startswith("visual."))
    counters = sum(name.endswith("num_batches_tracked") for name in state)
    folded = sum(3 * len(tensor) for name, tensor in state.items() if name.endswith("running_var"))
    assert described["parameters"]["image"] == whole - counters - folded


def peak_megabytes(clip, classes, training):
    """Measured: what tensors hold at most, the weights aside, from the class list to the end of one image."""
    features = F.normalize(torch.randn(1, clip.embed_dim, generator=torch.Generator().manual_seed(0)), dim=-1)
    bytes_used = PeakBytes()
    # Views of weights are no memory of their own.
    bytes_used.seen |= {parameter.untyped_storage()._cdata for parameter in clip.text.parameters()}
    with bytes_used, torch.set_grad_enabled(training):
        logits = CoCoOp(clip, class_names(classes))(features)
        if training:
            F.cross_entropy(logits, torch.zeros(1, dtype=torch.int64)).backward()
    return bytes_used.peak / 1e6


# In the bundled CLIP's three layers the last, which keeps the least, counts for more than in twelve; 2,000 classes go
# through in parts.
@pytest.mark.parametrize(
    ("shape", "dtype", "classes", "tolerance"),
    [
        ("tiny", "float32", 10, 1.6),
        ("tiny", "float32", 100, 1.6),
        ("tiny", "float32", 1000, 1.6),
        ("tiny", "bfloat16", 300, 1.6),
        ("tiny", "float32", 2000, 1.5),
        (TWELVE_LAYERS, "float32", 100, 1.25),
        (TWELVE_LAYERS, "bfloat16", 300, 1.25),
    ],
)
def test_estimates_are_just_above_the_measured_peaks(shape, dtype, classes, tolerance):
    clip = random_clip(shape, dtype=dtype)
    (memory,) = describe(clip, [classes])["memory"]
    assert memory["classes"] == classes
    for name, training in (("predict_mb", False), ("train_mb", True)):
        measured = peak_megabytes(clip, classes, training)
        assert measured <= memory[name] <= tolerance * measured, name


def test_estimates_keep_to_the_budget():
    clip = random_clip("tiny")
    clip.text.memory_budget = 30_000_000
    (memory,) = describe(clip, [500])["memory"]
    assert peak_megabytes(clip, 500, True) <= memory["train_mb"] <= 30
    assert peak_megabytes(clip, 500, False) <= memory["predict_mb"] <= 30
    clip.text.memory_budget = 1_000_000
    with pytest.raises(InputError, match=r"memory_budget: expected at least \d+ MB"):
        describe(clip, [1000])


def test_names_longer_than_the_context_are_cut(tiny):
    short = random_clip(Shape(32, 64, 1, 16, 8, 64, 1, vocabulary=100, context_length=8))
    assert describe(short, [100])["memory"][0]["predict_mb"] > 0


@pytest.mark.parametrize("count", [0, -1, MOST_CLASSES + 1])
def test_numbers_of_classes_that_cannot_work(tiny, count):
    with pytest.raises(InputError, match=f"classes: expected numbers of classes, 1 to 100,000; got {count:,}"):
        describe(tiny, [10, count])
