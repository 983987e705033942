"""CLIPs of the published sizes, against transformers' configurations and the published parameter counts."""

import pytest
import torch
from hugging_face_reference import config_from_openai
from transformers import CLIPConfig

from cocoop.bench import SHAPES, random_clip, random_state
from cocoop.clip import CLIP
from cocoop.errors import InputError

# The whole models as OpenAI released them, the logit scale included.
PUBLISHED_PARAMETERS = {
    "ViT-B/32": 151_277_313,
    "ViT-B/16": 149_620_737,
    "ViT-L/14": 427_616_513,
    "ViT-L/14@336": 427_944_193,
}


def sizes_only(name):
    """The state dict of a shape, without drawing and holding hundreds of millions of numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", lambda size, generator: torch.empty(size, device="meta"))
        return random_state(SHAPES[name])


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_the_published_number_of_parameters(name):
    state = sizes_only(name)
    assert sum(tensor.numel() for tensor in state.values()) == PUBLISHED_PARAMETERS[name]


def test_vit_b_32_is_what_transformers_builds_by_default():
    """Its default configuration is that of openai/clip-vit-base-patch32."""
    ours = config_from_openai(sizes_only("ViT-B/32"))
    theirs = CLIPConfig()
    assert ours.projection_dim == theirs.projection_dim
    for field in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"):
        assert getattr(ours.text_config, field) == getattr(theirs.text_config, field)
        assert getattr(ours.vision_config, field) == getattr(theirs.vision_config, field)
    assert ours.text_config.max_position_embeddings == theirs.text_config.max_position_embeddings
    assert ours.text_config.vocab_size == theirs.text_config.vocab_size
    assert ours.vision_config.patch_size == theirs.vision_config.patch_size
    assert ours.vision_config.image_size == theirs.vision_config.image_size


def test_tiny_has_the_tensors_of_the_bundled_clip(tiny):
    random = random_clip("tiny", "cpu")
    assert isinstance(random, CLIP)
    for tower, bundled in ((random.text, tiny.text), (random.image_tower, tiny.image_tower)):
        shapes = {name: tensor.shape for name, tensor in tower.state_dict().items()}
        assert shapes == {name: tensor.shape for name, tensor in bundled.state_dict().items()}
    assert random.preprocess.size == tiny.preprocess.size


def test_weights_have_the_size_of_clips_own_start():
    state = random_state(SHAPES["tiny"])
    width, layers = 128, 3
    block = "transformer.resblocks.1"
    for name, std in {
        "token_embedding.weight": 0.02,
        "positional_embedding": 0.01,
        "text_projection": width**-0.5,
        f"{block}.attn.in_proj_weight": width**-0.5,
        f"{block}.attn.out_proj.weight": width**-0.5 * (2 * layers) ** -0.5,
        f"{block}.mlp.c_fc.weight": (2 * width) ** -0.5,
        f"{block}.mlp.c_proj.weight": width**-0.5 * (2 * layers) ** -0.5,
    }.items():
        assert state[name].std() == pytest.approx(std, rel=0.05)  # 3 standard errors of the smallest, 9,856 values


def test_a_seed_gives_the_same_weights_and_another_others():
    states = [random_state(SHAPES["tiny"], seed)["text_projection"] for seed in (0, 0, 1)]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_dtype_is_passed_on_and_encodes():
    clip = random_clip("tiny", "cpu", "bfloat16")
    assert clip.dtype == torch.bfloat16
    assert clip.encode_images(torch.zeros(1, 3, 32, 32)).isfinite().all()
    assert clip.encode_texts(["slow ship"]).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ViT-B/15",), "shape: expected one of tiny, ViT-B/32, ViT-B/16, ViT-L/14, "),
        (("tiny", "gpu9"), "device: expected auto, cpu or "),
        (("tiny", "cpu", "float3"), "dtype: expected one of auto, float32"),
    ],
)
def test_unknown_names_list_the_known(arguments, message):
    with pytest.raises(InputError, match=message):
        random_clip(*arguments)
