"""The vision transformer is transformers' up to rounding, under its names: fingerprints of earlier runs stay."""

import pytest
import torch
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from cocoop.clip.image.vit import ImageTower

FACTOR = 2.0
"""How many times transformers' own error ours may be. It rounds elsewhere: 0.7 to 1.5 times were seen."""


def in_dtype(config, state, projection, dtype):
    theirs = CLIPVisionModel(config).eval()
    theirs.load_state_dict(state)
    theirs.to(dtype)
    return theirs, {**theirs.state_dict(), "projection.weight": projection.to(dtype)}


def error(features, exact):
    return (features.double() - exact).norm() / exact.norm()


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("hidden", [256, 2500])  # at once, and in three parts, the last of which is smaller
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_as_near_to_float64_as_transformers(activation, hidden, layers):
    """In every dtype; in float64 up to its own rounding. Biases and norms are drawn, so that none can be left out."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 4}
    config = CLIPVisionConfig(**sizes, image_size=32, patch_size=8, hidden_act=activation, layer_norm_eps=1e-4)
    state = CLIPVisionModel(config).state_dict()
    for name, tensor in state.items():
        if tensor.dim() == 1:
            tensor.add_(torch.randn_like(tensor), alpha=0.3)
        elif "attn" in name:
            tensor.mul_(8)  # attention that tells tokens apart
    projection, pixels = torch.randn(16, 64), torch.randn(8, 3, 32, 32)
    exact = None
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        theirs, weights = in_dtype(config, state, projection, dtype)
        ours = ImageTower.from_weights(weights, heads=4, activation=activation, eps=1e-4)
        assert set(ours.state_dict()) == {f"vision_model.{name}" for name in state} | {"projection.weight"}
        with torch.no_grad():
            expected = functional.linear(
                theirs(pixel_values=pixels.to(dtype)).pooler_output, weights["projection.weight"]
            )
            features = ours(pixels.to(dtype))
        exact = expected if exact is None else exact
        assert features.dtype == dtype
        assert error(features, exact) <= max(1e-14, FACTOR * error(expected, exact)), dtype


def test_gradients_of_pixels():
    """Nothing here asks for them; what works in place must not make them wrong for those who do."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 1100, "num_hidden_layers": 2, "num_attention_heads": 2}
    theirs = CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=8, patch_size=4)).eval().double()
    projection = torch.randn(8, 16).double()
    weights = {**theirs.state_dict(), "projection.weight": projection}
    ours = ImageTower.from_weights(weights, heads=2, activation="quick_gelu", eps=1e-5).requires_grad_(False)
    pixels = torch.randn(2, 3, 8, 8).double().requires_grad_()
    (expected,) = torch.autograd.grad(
        functional.linear(theirs(pixel_values=pixels).pooler_output, projection).sum(), pixels
    )
    (gradient,) = torch.autograd.grad(ours(pixels).sum(), pixels)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_exported_with_any_number_of_images(tiny):
    images = torch.export.Dim("images", min=1, max=64)
    with torch.no_grad():
        exported = torch.export.export(
            tiny.image_tower, (torch.zeros(4, 3, 32, 32),), dynamic_shapes=({0: images},), strict=False
        )
        pixels = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(exported.module()(pixels), tiny.image_tower(pixels))
