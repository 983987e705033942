"""Agreement with the original code. Values: the original repository at ff61507c on torch 2.13.0, float32, CPU.

Tolerances are those stated beside the values: logits 2e-4 absolute (they reach 60), gradients 2e-4 relative, trained
tensors 1e-4 relative. Every test runs on the packed and on the plain text path.
"""

import golden_clip
import pytest
import torch
from golden_clip import FACTS, VALUES, relative_error
from torch.nn.functional import cross_entropy

from cocoop import CLIP, CoCoOp, CoOp, ZeroShot
from cocoop.methods import PromptMethod
from cocoop.training import Step

LOGITS = 2e-4
GRADIENTS = 2e-4
TRAINED = 1e-4
CASES = list(FACTS["train"])
TEMPLATES = {
    "zeroshot": ["a photo of a {}."],
    "zeroshot_texture": ["{} texture."],
    "zeroshot_pets": ["a photo of a {}, a type of pet."],
    "zeroshot_ensemble": FACTS["ensemble_templates"],
}


def build(clip: CLIP, case: str) -> PromptMethod:
    """The method of a golden case, with its learnable tensors at the start."""
    start = {
        key.removeprefix(f"{case}.init."): value for key, value in VALUES.items() if key.startswith(f"{case}.init.")
    }
    words = case.endswith("words")
    context = {"context": "a photo of a"} if words else {"context": None, "context_length": start["ctx"].shape[-2]}
    names = FACTS["class_names"]
    if case.startswith("cocoop"):
        model: PromptMethod = CoCoOp(clip, names, **context)
    elif words:
        model = CoOp(clip, names, **context)
        assert torch.equal(model.ctx, start["ctx"])  # token embeddings of the words
    else:
        position = case.split("_")[-2]
        model = CoOp(clip, names, **context, class_specific="csc" in case, class_position=position)
    assert set(start) == set(model.state_dict())
    model.load_state_dict(start)
    return model


def labels() -> torch.Tensor:
    return torch.tensor(FACTS["labels"])


def test_image_features(golden):
    pixels = golden_clip.pixels()
    raw = golden.image_tower(pixels)
    assert (raw - VALUES["image_features_unnormalised"]).abs().max() < 1e-5
    assert (golden.encode_images(pixels) - VALUES["image_features"]).abs().max() < 1e-6


@pytest.mark.parametrize("case", TEMPLATES)
def test_zero_shot(both_paths, case):
    model = ZeroShot(both_paths, FACTS["class_names"], TEMPLATES[case])
    features = model.text_features(VALUES["image_features"])[0]
    if f"{case}.text_features" in VALUES:
        assert (features - VALUES[f"{case}.text_features"]).abs().max() < 2e-6
    assert (model(VALUES["image_features"]) - VALUES[f"{case}.logits"]).abs().max() < LOGITS


@pytest.mark.parametrize("case", CASES)
def test_logits_loss_and_gradients(both_paths, case):
    model = build(both_paths, case)
    logits = model(VALUES["image_features"])
    assert (logits - VALUES[f"{case}.logits"]).abs().max() < LOGITS
    probabilities = model.probabilities(VALUES["image_features"])
    assert (probabilities - VALUES[f"{case}.probabilities"]).abs().max() < LOGITS
    loss = cross_entropy(logits, labels())
    assert abs(loss - VALUES[f"{case}.loss"]) < LOGITS
    loss.backward()
    for name, parameter in model.named_parameters():
        assert relative_error(parameter.grad, VALUES[f"{case}.grad.{name}"]) < GRADIENTS, name


def trained(clip: CLIP, case: str) -> tuple[PromptMethod, list[float]]:
    """The case after its golden SGD steps: step s sees images (s * batch + j) mod 6."""
    model = build(clip, case)
    step = Step(model, lr=0.002, momentum=0.9, weight_decay=5e-4)
    size, steps = FACTS["train"][case]["batch_size"], FACTS["train"][case]["steps"]
    losses = []
    for s in range(steps):
        batch = [(s * size + j) % 6 for j in range(size)]
        losses.append(float(step(VALUES["image_features"][batch], labels()[batch])[0]))
    return model, losses


@pytest.mark.parametrize("case", CASES)
def test_sgd_steps(both_paths, case):
    model, losses = trained(both_paths, case)
    assert len(losses) == 24
    assert (torch.tensor(losses) - VALUES[f"{case}.train.losses"]).abs().max() < LOGITS
    for name, tensor in model.state_dict().items():
        assert relative_error(tensor, VALUES[f"{case}.train.{name}"]) < TRAINED, name


def test_new_classes(both_paths):
    model, _ = trained(both_paths, "cocoop_words")
    model.set_classes(FACTS["new_class_names"])
    logits = model(VALUES["image_features"])
    assert (logits - VALUES["cocoop_words.new_classes.logits"]).abs().max() < LOGITS


def test_every_golden_value_is_used():
    used = {"image_features", "image_features_unnormalised", "cocoop_words.new_classes.logits"}
    prefixes = tuple(f"{case}." for case in [*CASES, *TEMPLATES])
    assert {key for key in VALUES if not key.startswith(prefixes)} <= used


@pytest.mark.skipif(not golden_clip.VOCABULARY.is_dir(), reason="no copy of OpenAI's vocabulary beside the checkout")
def test_the_real_vocabulary_gives_the_golden_ids():
    clip = golden_clip.load(tokenizer=golden_clip.VOCABULARY)
    assert (clip.tokenizer.bos_token_id, clip.tokenizer.eos_token_id) == (49406, 49407)
    for text, ids in FACTS["tokens"].items():
        assert clip.token_ids(text) == ids, text
    assert clip.token_ids("  A&amp;amp;B  caf\u00e9\n") == clip.token_ids("a&b café")
