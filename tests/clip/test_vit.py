"""The vision transformer is transformers' to the bit, under its names: fingerprints of earlier runs stay."""

import pytest
import torch
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from cocoop.clip.image.vit import ImageTower


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_same_bits_as_transformers(activation, dtype):
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = CLIPVisionConfig(**sizes, image_size=32, patch_size=8, hidden_act=activation, layer_norm_eps=1e-4)
    theirs = CLIPVisionModel(config).eval().to(dtype)
    projection = torch.randn(16, 64, dtype=dtype)
    weights = {**theirs.state_dict(), "projection.weight": projection}
    ours = ImageTower.from_weights(weights, heads=4, activation=activation, eps=1e-4)
    assert set(ours.state_dict()) == {f"vision_model.{name}" for name in theirs.state_dict()} | {"projection.weight"}
    pixels = torch.randn(3, 3, 32, 32, dtype=dtype)
    with torch.no_grad():
        expected = functional.linear(theirs(pixel_values=pixels).pooler_output, projection)
        assert torch.equal(ours(pixels), expected)
