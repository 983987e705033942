"""The packed path against the plain one and against transformers' own forward: values and gradients."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPConfig, CLIPModel

from cocoop import InputError
from cocoop.clip import Prompts, slot
from cocoop.clip.sources.families import Checkpoint, read_towers

# Hidden sizes small enough for hundreds of examples; three layers, so that inner, first and last layers differ.
WIDTH, JOINT, LAYERS, VOCABULARY, CONTEXT_LENGTH = 32, 16, 3, 60, 24
SOS, EOT = 58, 59


def reference_model(activation="quick_gelu", layers=LAYERS, eps=1e-5):
    torch.manual_seed(0)
    text = {
        "hidden_size": WIDTH, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 48,
        "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT_LENGTH, "hidden_act": activation,
        "layer_norm_eps": eps, "bos_token_id": SOS, "eos_token_id": EOT, "pad_token_id": 0,
    }  # fmt: skip
    vision = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 8, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=JOINT, initializer_factor=6.0)
    return CLIPModel(config).eval().requires_grad_(False)


def our_tower(model, dtype=torch.float32):
    checkpoint = Checkpoint("reference", model.state_dict(), {"model_type": "clip", **model.config.to_dict()})
    return copy.deepcopy(read_towers("clip", checkpoint).text).to(dtype).eval().requires_grad_(False)


MODEL = reference_model()
TOWERS = {dtype: our_tower(MODEL, dtype) for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)}


def random_prompts(lengths, seed, slots, slots_first=True):
    """K prompts [SOS, slots, tokens.., EOT] (or the slots before EOT) with random tokens."""
    generator = torch.Generator().manual_seed(seed)
    context = [slot(m) for m in range(slots)]
    prompts = []
    for length in lengths:
        tokens = torch.randint(1, SOS, (length,), generator=generator).tolist()
        prompts.append([SOS, *context, *tokens, EOT] if slots_first else [SOS, *tokens, *context, EOT])
    return prompts


def run(tower, prompts, context, plain):
    """Text features and the gradient of a fixed random weighting of them with respect to the context."""
    tower.plain = plain
    context = context.clone().requires_grad_()
    try:
        features = Prompts(tower, [str(k) for k in range(len(prompts))], prompts).encode(context)
    finally:
        tower.plain = False
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (features * weights.to(features.dtype)).sum().backward()
    return features.detach(), context.grad


def random_context(groups, slots, dtype, seed=2):
    values = torch.randn(groups, slots, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.to(torch.promote_types(dtype, torch.float32))


# Float64 rounds at 1e-16, so agreement to 1e-12 is agreement of the mathematics, not of the rounding.
@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    groups=st.integers(1, 4),
    slots=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_packed_equals_plain_for_image_dependent_prefixes(lengths, groups, slots, seed):
    prompts = random_prompts(lengths, seed, slots)
    context = random_context(groups, slots, torch.float64)
    packed, packed_gradient = run(TOWERS[torch.float64], prompts, context, plain=False)
    plain, plain_gradient = run(TOWERS[torch.float64], prompts, context, plain=True)
    assert packed.shape == (groups, len(lengths), JOINT)
    torch.testing.assert_close(packed, plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(packed_gradient, plain_gradient, rtol=1e-9, atol=1e-11)


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    slots=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_packed_equals_plain_with_slots_in_the_suffixes(lengths, slots, seed):
    prompts = random_prompts(lengths, seed, slots, slots_first=False)
    context = random_context(1, slots, torch.float64)
    packed, packed_gradient = run(TOWERS[torch.float64], prompts, context, plain=False)
    plain, plain_gradient = run(TOWERS[torch.float64], prompts, context, plain=True)
    torch.testing.assert_close(packed, plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(packed_gradient, plain_gradient, rtol=1e-9, atol=1e-11)


# Tolerances: some tens of roundings (2^-24, 2^-11, 2^-8 relative) through three layers, on unit-norm features.
@pytest.mark.parametrize(
    ("dtype", "values", "gradients"),
    [(torch.float32, 1e-6, 1e-5), (torch.float16, 5e-3, 2e-2), (torch.bfloat16, 4e-2, 1e-1)],
)
def test_dtypes_agree_with_float64(dtype, values, gradients):
    prompts = random_prompts([1, 5, 2, 2, 9, 3], seed=3, slots=4)
    context = random_context(3, 4, torch.float32)
    exact, exact_gradient = run(TOWERS[torch.float64], prompts, context.double(), plain=True)
    for plain in (False, True):
        features, gradient = run(TOWERS[dtype], prompts, context, plain)
        assert features.dtype == torch.float32
        assert (features - exact).abs().max() < values
        assert (gradient - exact_gradient).norm() / exact_gradient.norm() < gradients


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("layers", [1, 3])
def test_both_paths_equal_transformers(activation, layers):
    model = reference_model(activation, layers, eps=1e-6)
    tower = our_tower(model)
    prompts = random_prompts([0, 1, 6, 3, 12, 3], seed=5, slots=0)
    padded = torch.zeros(len(prompts), CONTEXT_LENGTH, dtype=torch.int64)
    for row, prompt in zip(padded, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    with torch.no_grad():
        pooled = model.text_model(input_ids=padded).pooler_output
        theirs = torch.nn.functional.normalize(model.text_projection(pooled), dim=-1)
        for plain in (False, True):
            tower.plain = plain
            ours = Prompts(tower, ["x"] * len(prompts), prompts).encode(torch.empty(1, 0, WIDTH))[0]
            torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)


def test_slots_behind_a_class_s_own_tokens_take_one_context_for_all_images():
    prompts = Prompts(TOWERS[torch.float32], ["x"] * 2, random_prompts([1, 3], 0, slots=2, slots_first=False))
    with pytest.raises(InputError, match=r"context: expected one value for all images, .*; got 3"):
        prompts.encode(random_context(3, 2, torch.float32))


def test_many_images_without_gradients_go_through_in_groups(monkeypatch):
    prompts = random_prompts([1, 5, 2, 2, 9, 3], seed=3, slots=4)
    context = random_context(7, 4, torch.float64)
    encoder = Prompts(TOWERS[torch.float64], ["x"] * 6, prompts)
    whole = encoder.encode(context)
    monkeypatch.setattr("cocoop.clip.text.memory._TOKENS_AT_ONCE", {"cpu": 60})
    with torch.no_grad():
        torch.testing.assert_close(encoder.encode(context), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("plain", [False, True])
def test_equal_prompts_have_equal_features_to_the_bit(plain):
    (first, second, third) = random_prompts([2, 5, 1], seed=3, slots=4)
    context = random_context(2, 4, torch.float32)
    features, gradient = run(TOWERS[torch.float32], [first, second, first, third, first], context, plain)
    assert torch.equal(features[:, 0], features[:, 2]) and torch.equal(features[:, 0], features[:, 4])
    exact, exact_gradient = run(TOWERS[torch.float64], [first, second, first, third, first], context.double(), True)
    torch.testing.assert_close(features.double(), exact, rtol=0, atol=1e-6)
    assert (gradient - exact_gradient).norm() <= 1e-5 * exact_gradient.norm()


def test_no_images_have_no_features():
    prompts = Prompts(TOWERS[torch.float32], ["x"] * 2, random_prompts([1, 5], seed=3, slots=4))
    for training in (False, True):
        with torch.set_grad_enabled(training):
            assert prompts.encode(torch.empty(0, 4, WIDTH)).shape == (0, 2, JOINT)


def test_a_callers_autocast_changes_nothing():
    prompts = Prompts(TOWERS[torch.float32], ["x"] * 3, random_prompts([1, 5, 2], seed=3, slots=4))
    context = random_context(2, 4, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        features = prompts.encode(context)
    assert torch.equal(features, prompts.encode(context))


def test_two_forward_passes_before_a_backward_pass_do_not_disturb_each_other():
    prompts = Prompts(TOWERS[torch.float64], ["x"] * 3, random_prompts([1, 5, 2], seed=3, slots=4))
    first, second = (random_context(2, 4, torch.float64, seed).requires_grad_() for seed in (2, 5))
    (
        prompts.encode(first).square().sum(2).sum() + prompts.encode(first).sum() + prompts.encode(second).sum()
    ).backward()
    together = first.grad.clone()
    first.grad = None
    prompts.encode(first).sum().backward(retain_graph=True)
    torch.testing.assert_close(together, first.grad, rtol=1e-9, atol=1e-12)  # unit norm: the squares add a constant


def test_tokens_after_the_end_and_other_classes_do_not_matter():
    prompts = random_prompts([4, 2, 7], seed=9, slots=2)
    context = random_context(1, 2, torch.float64)
    together, _ = run(TOWERS[torch.float64], prompts, context, plain=False)
    for k, prompt in enumerate(prompts):
        alone, _ = run(TOWERS[torch.float64], [prompt], context, plain=False)
        torch.testing.assert_close(alone[0, 0], together[0, k], rtol=0, atol=1e-12)


def test_too_long_a_prompt_names_the_class_its_tokens_and_the_limit():
    prompts = random_prompts([3, CONTEXT_LENGTH], seed=0, slots=0)
    with pytest.raises(InputError, match=f"'marmoset'.* {CONTEXT_LENGTH} tokens.*got {CONTEXT_LENGTH + 2}"):
        Prompts(TOWERS[torch.float32], ["cat", "marmoset"], prompts)
    Prompts(TOWERS[torch.float32], ["cat", "just fits"], random_prompts([3, CONTEXT_LENGTH - 2], seed=0, slots=0))


def test_nothing_of_the_tower_is_trainable_or_changed():
    tower = TOWERS[torch.float32]
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    run(tower, random_prompts([3, 1], seed=0, slots=2), random_context(2, 2, torch.float32), plain=False)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in tower.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in tower.state_dict().items())
