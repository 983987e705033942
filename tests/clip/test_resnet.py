"""OpenAI's ResNet image towers, against their definition written out slowly in float64."""

import math

import pytest
import torch
from golden_clip import relative_error, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from random_states import random_clip_state, random_resnet_state
from torch.nn import functional as F

from cocoop import InputError
from cocoop.clip.image.resnet import ResNetTower

PUBLISHED = {
    "RN50": ((3, 4, 6, 3), 64, 224, 1024),
    "RN101": ((3, 4, 23, 3), 64, 224, 512),
    "RN50x4": ((4, 6, 10, 6), 80, 288, 640),
    "RN50x16": ((6, 8, 18, 8), 96, 384, 768),
    "RN50x64": ((3, 15, 36, 10), 128, 448, 1024),
}
"""Blocks, width, image size, joint width: arXiv 2103.00020, table 19."""


def resnet(**sizes):
    """A state without "visual."."""
    return {name.removeprefix("visual."): tensor for name, tensor in random_resnet_state(**sizes).items()}


def pixels(size, images=2, seed=0):
    return torch.from_numpy(weights.seeded("pixels", (images, 3, size, size), seed))


class Definition:
    """The network as its definition has it: norms by their formula, attention over all positions, all in float64."""

    def __init__(self, state):
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def norm(self, name, x):
        gamma, beta, mean, variance = (
            self.state[f"{name}.{kind}"].reshape(1, -1, 1, 1)
            for kind in ("weight", "bias", "running_mean", "running_var")
        )
        return gamma * (x - mean) / torch.sqrt(variance + 1e-5) + beta

    def convolve(self, name, norm, x, **settings):
        return self.norm(norm, F.conv2d(x, self.state[f"{name}.weight"], bias=None, **settings))

    def shrink(self, x, stride):
        if stride == 1:
            return x
        batch, channels, height, width = x.shape
        return x.reshape(batch, channels, height // stride, stride, width // stride, stride).mean(dim=(3, 5))

    def block(self, name, x, stride):
        out = torch.relu(self.convolve(f"{name}.conv1", f"{name}.bn1", x))
        out = torch.relu(self.convolve(f"{name}.conv2", f"{name}.bn2", out, padding=1))
        out = self.convolve(f"{name}.conv3", f"{name}.bn3", self.shrink(out, stride))
        if f"{name}.downsample.0.weight" in self.state:
            x = self.convolve(f"{name}.downsample.0", f"{name}.downsample.1", self.shrink(x, stride))
        return torch.relu(out + x)

    def linear(self, name, x):
        return x @ self.state[f"attnpool.{name}.weight"].T + self.state[f"attnpool.{name}.bias"]

    def pool(self, x):
        cells = x.flatten(start_dim=2).transpose(1, 2)
        states = torch.cat([cells.mean(dim=1)[:, None], cells], dim=1) + self.state["attnpool.positional_embedding"]
        query, key, value = (self.linear(f"{letter}_proj", states) for letter in "qkv")
        heads = []
        for start in range(0, states.shape[-1], 64):
            one = slice(start, start + 64)
            scores = query[..., one] @ key[..., one].transpose(1, 2) / math.sqrt(64)
            heads.append(torch.softmax(scores, dim=-1) @ value[..., one])
        return self.linear("c_proj", torch.cat(heads, dim=-1))[:, 0]

    def __call__(self, images):
        x = images.double()
        for number, stride in ((1, 2), (2, 1), (3, 1)):
            x = torch.relu(self.convolve(f"conv{number}", f"bn{number}", x, stride=stride, padding=1))
        x = self.shrink(x, 2)
        for stage in (1, 2, 3, 4):
            number = 0
            while f"layer{stage}.{number}.conv1.weight" in self.state:
                x = self.block(f"layer{stage}.{number}", x, 2 if stage > 1 and number == 0 else 1)
                number += 1
        return self.pool(x)


SIZES = [
    {},
    {"layers": (3, 1, 2, 2), "width": 2, "grid": 1, "joint": 5},
    {"layers": (2, 3, 4, 1), "width": 6, "grid": 3, "joint": 64, "seed": 1},
    {"layers": (1, 1, 1, 1), "width": 16, "grid": 7, "joint": 8, "seed": 2},
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_features_equal_the_definition(sizes):
    state = resnet(**sizes)
    images = pixels(32 * sizes.get("grid", 2))
    expected = Definition(state)(images)
    # Float32 has 6e-8; errors of some ten layers add up. Float64 has 1.1e-16.
    assert relative_error(ResNetTower.from_openai(state)(images).double(), expected) < 1e-5
    double = ResNetTower.from_openai({name: tensor.double() for name, tensor in state.items()})
    assert relative_error(double(images.double()), expected) < 1e-12


@settings(deadline=None, max_examples=25)
@given(
    layers=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    half=st.integers(1, 4),
    grid=st.integers(1, 3),
    joint=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_any_size_equals_the_definition_and_describes_itself(layers, half, grid, joint, seed):
    state = resnet(layers=layers, width=2 * half, grid=grid, joint=joint, seed=seed)
    tower = ResNetTower.from_openai({name: tensor.double() for name, tensor in state.items()})
    images = pixels(32 * grid, images=1, seed=seed).double()
    assert relative_error(tower(images), Definition(state)(images)) < 1e-11
    assert tower.image_size == 32 * grid
    assert tower.formula == {"num_attention_heads": half, "hidden_act": "relu"}
    assert tower.describe() == {
        "kind": "ResNet",
        "layers": layers,
        "width": 2 * half,
        "heads": half,
        "image_size": 32 * grid,
        "joint_width": joint,
    }


def test_every_tensor_counts():
    """Else a test above could pass without it."""
    state = resnet()
    images = pixels(64, images=1)
    before = ResNetTower.from_openai(state)(images)
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked") or name == "attnpool.k_proj.bias":  # shifts all scores alike
            continue
        changed = ResNetTower.from_openai(state | {name: tensor * 1.5})(images)
        assert not torch.allclose(changed, before, rtol=1e-6, atol=0), name


# Half precision rounds each of some ten layers to 2^-11 (float16) or 2^-8 (bfloat16).
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 4e-2)])
def test_half_precision(dtype, tolerance):
    state, images = resnet(), pixels(64)
    features = ResNetTower.from_openai(state).to(dtype)(images.to(dtype))
    assert features.dtype == dtype
    assert relative_error(features.double(), Definition(state)(images)) < tolerance


def test_an_archive_in_float16_is_computed_in_float32():
    """OpenAI's archives: matrices and convolutions in float16, norms and positions in float32."""
    wide = ("bn", "downsample.1", "positional_embedding", "num_batches_tracked")
    state = {name: tensor if any(part in name for part in wide) else tensor.half() for name, tensor in resnet().items()}
    tower = ResNetTower.from_openai(state)
    assert {parameter.dtype for parameter in tower.parameters()} == {torch.float32}
    images = pixels(64)
    assert relative_error(tower(images).double(), Definition(state)(images)) < 1e-5


def test_small_variances_survive_half_precision():
    """Folded in float64: variances below float16's least would else be 0, and eps lost."""
    state = resnet()
    state["layer1.0.bn2.running_var"] = torch.full_like(state["layer1.0.bn2.running_var"], 1e-9)
    images = pixels(64)
    features = ResNetTower.from_openai(state).half()(images.half())
    assert relative_error(features.double(), Definition(state)(images)) < 5e-3


def test_tensors_of_the_attention_pool_are_not_copied():
    state = resnet()
    tower = ResNetTower.from_openai(state)
    assert tower.attnpool.k_proj.weight.data_ptr() == state["attnpool.k_proj.weight"].data_ptr()


def test_gradients_reach_the_pixels():
    """Layers work in place where autograd allows it; it would complain here."""
    tower = ResNetTower.from_openai({name: tensor.double() for name, tensor in resnet(grid=1).items()})
    images = pixels(32, images=1).double().requires_grad_()
    (gradient,) = torch.autograd.grad(tower(images).square().sum(), images)
    step = torch.zeros_like(images)
    step[0, 1, 16, 16] = 1e-6
    with torch.no_grad():
        slope = (tower(images + step).square().sum() - tower(images - step).square().sum()) / 2e-6
    assert gradient[0, 1, 16, 16].item() == pytest.approx(slope.item(), rel=1e-4)


# Image parameters in millions: open_clip docs/model_profile.csv; of RN50 all digits are published.
@pytest.mark.parametrize(
    ("name", "millions"),
    [("RN50", 38.316896), ("RN101", 56.26), ("RN50x4", 87.14), ("RN50x16", 167.33), ("RN50x64", 420.38)],
)
def test_published_parameter_counts(name, millions):
    layers, width, size, joint = PUBLISHED[name]
    with torch.device("meta"):
        tower = ResNetTower(layers, width, size // 32, joint)
    convolutions = [module for module in tower.modules() if isinstance(module, torch.nn.Conv2d)]
    # A norm has a weight and a bias for each channel, a convolution with the norm in it only a bias.
    folded = sum(module.out_channels for module in convolutions)
    count = (sum(parameter.numel() for parameter in tower.parameters()) + folded) / 1e6
    assert count == pytest.approx(millions, abs=5e-3) and (name != "RN50" or count == millions)
    assert tower.describe() == {
        "kind": "ResNet",
        "layers": list(layers),
        "width": width,
        "heads": width // 2,
        "image_size": size,
        "joint_width": joint,
    }


def test_counts_of_training_steps_may_be_missing():
    state = resnet()
    fewer = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(fewer) < len(state)
    images = pixels(64, images=1)
    assert torch.equal(ResNetTower.from_openai(fewer)(images), ResNetTower.from_openai(state)(images))


def test_every_missing_tensor_is_named():
    state = resnet()
    for name in state:
        if not name.endswith("num_batches_tracked"):
            with pytest.raises(InputError, match=rf"got \d+ missing, such as .*{name.rpartition('.')[0]}"):
                ResNetTower.from_openai({other: tensor for other, tensor in state.items() if other != name})


def test_every_misshapen_tensor_is_named():
    """By itself, or by the tensor of its module that no longer fits."""
    state = resnet()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        module = name.rpartition(".")[0]
        for other in (torch.cat([tensor, tensor[:1]]), tensor[..., None], tensor[:0], tensor.sum()):
            with pytest.raises(InputError, match=rf"misshapen, such as {module}\.|of shapes "):
                ResNetTower.from_openai(state | {name: other})
    with pytest.raises(InputError, match=r"misshapen, such as layer2\.0\.bn1\.weight \[17\] for \[16\]\."):
        ResNetTower.from_openai(state | {"layer2.0.bn1.weight": torch.ones(17)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.weight": torch.ones(2)}, r"1 unknown, such as fc\.weight\. Take"),
        ({"layer1.01.conv1.weight": torch.ones(2)}, "missing, such as layer1.1.conv1.weight"),
        ({"layer5.0.conv1.weight": torch.ones(2)}, "1 unknown, such as layer5.0.conv1.weight"),
        ({"layer1.0.downsample.-1.weight": torch.ones(2)}, "1 unknown"),
        ({f"layer1.{10**9}.conv1.weight": torch.ones(2)}, "missing, such as layer1.1.conv1.weight"),
        ({f"layer3.{'9' * 5000}.conv1.weight": torch.ones(2)}, "missing, such as layer3.1.conv1.weight"),
        ({"bn1.bias": torch.ones(4, dtype=torch.int8)}, r"than float16 to float64, such as bn1\.bias \(torch\.int8\)"),
        ({"bn1.bias": torch.ones(4, dtype=torch.complex64)}, "of another dtype"),
        ({"bn1.running_var": torch.tensor([1, 1, -1.0, 1])}, r"a negative variance, such as bn1\.running_var"),
        ({"bn1.running_var": torch.tensor([1, 1, math.nan, 1])}, "a negative variance"),
        ({"conv3.weight": torch.tensor(1.0)}, r"conv3\.weight, .* of shapes .* got \[\], \[5, 256\], \[32, 256\]\."),
        ({"conv3.weight": torch.ones(7, 3, 3, 3)}, "with an even w"),
        ({"conv3.weight": torch.ones(2**40, 0, 3, 3)}, "of shapes"),
        ({"attnpool.positional_embedding": torch.ones(6, 256)}, "of shapes"),
        ({"attnpool.positional_embedding": torch.ones(1, 256)}, "of shapes"),
    ],
)
def test_what_is_no_such_tower_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        ResNetTower.from_openai(resnet() | change)


def test_many_names_do_not_make_it_build_a_large_tower():
    one = torch.ones(1)
    hostile = resnet() | {f"layer3.{number}.conv1.weight": one for number in range(1, 50_000)}
    with pytest.raises(InputError, match=r"got \d+ missing"):
        ResNetTower.from_openai(hostile)


@pytest.mark.parametrize("state", [{}, {"conv1.weight": torch.ones(3)}])
def test_nothing_to_tell_the_sizes_from(state):
    with pytest.raises(InputError, match=r"3 missing, such as conv3\.weight"):
        ResNetTower.from_openai(state)


def test_a_random_clip_has_both_towers():
    """The helper: whole heads, one joint width, the same tensors for the same seed."""
    state, again, other = (random_clip_state(seed) for seed in (0, 0, 1))
    assert state["text_projection"].shape[1] == len(state["visual.attnpool.c_proj.weight"]) == 32
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert not torch.equal(state["visual.conv1.weight"], other["visual.conv1.weight"])
