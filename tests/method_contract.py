"""What every method promises: `check_method(name, clip)` holds any that is registered to it, a plugin's too.

Each check takes a `Case`: a registered name with some of its settings. Which settings there are to vary, a method says
itself: its constructor refuses an unknown choice with the list of those it knows, and a setting that is a bool has two.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import io
import json
import math
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from method_cases import NAMES, Case, cases
from own_photos import CLASSES, digit_images, labelled
from sklearn.base import clone
from torch import Tensor

from cocoop import CLIP, ConditionalPrompts, InputError, Method, PromptClassifier
from cocoop.clip import Prompts
from cocoop.methods import TangentPrompts

OTHERS = ["four", "a big red kite"]
PHOTOS, LABELS = labelled(4)
UNSEEN = digit_images("four", 3)


def check_method(name: str, clip: CLIP) -> None:
    """Hold a registered method to all of it, with every combination of its choices."""
    for case in cases(name, clip):
        for check in CHECKS:
            check(case)


# Logits


def check_logits_and_probabilities(case: Case) -> None:
    model, images = case.build(), case.images()
    logits = model(images)
    assert logits.shape == (5, len(NAMES)) and logits.dtype == torch.promote_types(case.clip.dtype, torch.float32)
    probabilities = model.probabilities(images)
    torch.testing.assert_close(probabilities, logits.softmax(dim=1), rtol=0, atol=1e-6)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(5), rtol=0, atol=1e-5)
    assert not probabilities.requires_grad


def check_an_image_does_not_depend_on_its_batch(case: Case) -> None:
    model, images = case.build(), case.images()
    together = model(images)
    for b in range(len(images)):
        torch.testing.assert_close(model(images[b : b + 1]), together[b : b + 1], rtol=0, atol=1e-4)


def check_a_class_does_not_depend_on_the_others(case: Case) -> None:
    model, images, order = case.build(), case.images(), [2, 0]
    before = model(images)
    if swaps(model, [NAMES[k] for k in order]):
        torch.testing.assert_close(model(images), before[:, order], rtol=0, atol=1e-4)


def check_classes_are_swapped_and_back(case: Case) -> None:
    model, images = case.build(), case.images()
    before = model(images)
    if not swaps(model, OTHERS):
        assert model.class_names == NAMES and torch.equal(model(images), before)
        return
    assert model.class_names == OTHERS and model(images).shape == (5, len(OTHERS))
    assert model.set_classes(tuple(NAMES)) is model and model.class_names == NAMES
    assert torch.equal(model(images), before)


def swaps(model: Method, names: list[str]) -> bool:
    """Whether the model takes other classes; if not, it must say so in one line."""
    try:
        model.set_classes(names)
    except InputError as error:
        assert "\n" not in str(error) and str(error).startswith("classes: expected")
        return False
    return True


# Settings


def check_settings_build_it_again(case: Case) -> None:
    model, images = case.build(), case.images()
    settings, defaults = model.settings, case.method.setting_defaults()
    assert settings == json.loads(json.dumps(settings))
    assert settings.keys() == defaults.keys()
    # JSON has other lists, and what is None may follow from something else.
    given = {name: it for name, it in defaults.items() if isinstance(it, (str, int, float))} | case.settings
    assert settings.items() >= given.items()
    again = case.method(case.clip, NAMES, **settings)
    assert again.settings == settings
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(images), model(images))


def check_defaults_are_the_constructors(case: Case) -> None:
    defaults = case.method.setting_defaults()
    assert inspect.Parameter.empty not in defaults.values()
    parameters = inspect.signature(case.method).parameters
    named = {p.name: p.default for p in parameters.values() if p.kind != p.VAR_KEYWORD}
    assert list(named)[:2] == ["clip", "class_names"]
    assert {**defaults, **dict(list(named.items())[2:])} == defaults
    assert len(named) - 2 == len(defaults) or len(named) < len(parameters)  # `**others` are those of the class above
    plain, spelled_out = Case(case.name, case.clip), Case(case.name, case.clip, defaults)
    assert torch.equal(plain.build()(case.images()), spelled_out.build()(case.images()))


def check_its_state_is_what_it_learns(case: Case) -> None:
    model = case.build()
    tensors, parameters = bits(model), dict(model.named_parameters(remove_duplicate=False))
    assert tensors.keys() == parameters.keys()
    assert bits(case.build()) == tensors
    swaps(model, OTHERS)
    assert bits(model) == tensors
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert model.trainable_parameters == sum(math.prod(parameter.shape) for parameter in learned.values())
    assert case.method.learns() == (case.method.recipe is not None or case.method.prepares())
    assert bool(learned) or case.method.recipe is None
    frozen = {tensor.data_ptr() for tensor in case.clip.text.parameters()}
    assert not frozen & {tensor.data_ptr() for tensor in model.state_dict().values()}


def check_a_data_sets_template_is_a_setting(case: Case) -> None:
    own = case.method.template_settings("the sign {}.")
    assert own.keys() <= case.method.setting_defaults().keys()
    assert case.method(case.clip, NAMES, **case.settings | own).settings == case.build().settings | own


# Learning


def check_training_changes_what_it_learns_and_nothing_else(case: Case) -> None:
    frozen, start = frozen_bytes(case.clip), case.build(CLASSES)
    classifier = case.classifier().fit(PHOTOS, LABELS)
    classifier.predict(UNSEEN)
    assert frozen_bytes(case.clip) == frozen
    assert bool(classifier.picked_) == case.method.learns()
    if case.method.recipe is not None:
        losses = [epoch.loss for epoch in classifier.history_]
        assert losses[-1] < losses[0]
    before, after = dict(start.named_parameters()), dict(classifier.model_.named_parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {name for name, parameter in before.items() if parameter.requires_grad}
    assert changed >= trained
    assert changed == trained or case.method.prepares()


def check_it_learns_the_same_whoever_calls(case: Case) -> None:
    expected = state(case.classifier(epochs=2).fit(PHOTOS, LABELS))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert state(case.classifier(epochs=2).fit(PHOTOS, LABELS)) == expected


def check_gradients_are_those_of_the_loss(case: Case) -> None:
    clip = in_float64()
    model, images, labels = case.build(clip=clip), case.images(clip), torch.tensor([0, 2, 1, 3, 3])
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learned:
        return
    assert all(parameter.dtype == torch.float64 for parameter in learned)
    loss, logits, gradients = model.gradients(images, labels)
    assert loss.shape == () and logits.shape == (5, len(NAMES)) and not loss.requires_grad
    assert [gradient.shape for gradient in gradients] == [parameter.shape for parameter in learned]
    for scale in (8.0, 2.0**16):  # a power of two changes no bit of a mantissa
        scaled_loss, _, scaled = model.gradients(images, labels, torch.tensor(scale, dtype=torch.float64))
        assert torch.equal(scaled_loss, loss)
        for one, other in zip(scaled, gradients, strict=True):
            torch.testing.assert_close(one, scale * other, rtol=1e-12, atol=0)
    if case.method.gradients is Method.gradients:  # a method of its own may take others than the loss's
        agree_with_differences(model, images, labels, gradients)


def agree_with_differences(model: Method, images: Tensor, labels: Tensor, gradients: list[Tensor]) -> None:
    """Autograd of `loss`, and central differences along a random direction of each learned tensor."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    by_autograd = torch.autograd.grad(model.loss(images, labels)[0], learned, materialize_grads=True)
    generator, step = torch.Generator().manual_seed(0), 1e-6
    for parameter, gradient, expected in zip(learned, gradients, by_autograd, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        direction /= direction.norm()
        losses = []
        with torch.no_grad():
            for move in (step, -2 * step, step):
                parameter += move * direction
                losses.append(float(model.loss(images, labels)[0]))
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float((gradient * direction).sum()), abs=2e-6)


def check_class_weights_are_in_the_loss(case: Case) -> None:
    """The part of the loss that comes from an image's label grows with its class's weight, also in a batch of one."""
    clip = in_float64()
    model, images, labels = case.build(clip=clip), case.images(clip)[:3], torch.tensor([0, 2, 2])
    if not model.trainable_parameters:
        return

    def loss(weights: list[float] | None, batch: slice = slice(3)) -> float:
        with model.weighing(weights):
            return float(model.gradients(images[batch], labels[batch])[0])

    plain, one, two, three = loss(None), *(loss([weight] * len(NAMES)) for weight in (1.0, 2.0, 3.0))
    assert one == pytest.approx(plain, rel=1e-12)
    assert three - two == pytest.approx(two - one, rel=1e-9) and two - one > 1e-6, "the loss ignores the class weights"
    assert loss([1.0, 9.0, 1.0, 9.0]) == one, "a class without an image in the batch counts"
    first, others = loss([2.0, 1.0, 1.0, 1.0]) - one, loss([1.0, 1.0, 2.0, 1.0]) - one
    assert first + others == pytest.approx(two - one, rel=1e-9) and min(first, others) > 0
    alone = [loss([weight, 1.0, 1.0, 1.0], slice(1)) for weight in (1.0, 2.0)]
    assert alone[1] > alone[0], "the weight of the only image in a batch cancels"
    assert model.class_weights is None


def check_a_code_is_what_the_context_follows_from(case: Case) -> None:
    """And so are tangent prompts, of a method that declares its code."""
    model, images = case.build(), case.images()
    if not isinstance(model, ConditionalPrompts) or type(model).code is ConditionalPrompts.code:
        return
    torch.testing.assert_close(model.context_of(model.code(images)), model.context(images), rtol=0, atol=1e-6)
    tangent = TangentPrompts(model, images)
    assert torch.equal(tangent.logits(images).argmax(dim=1), model(images).argmax(dim=1))


def check_unconditional_prompts_are_encoded_once(case: Case) -> None:
    if case.method.conditional:
        return
    model, images = case.build(), case.images()
    with counted_passes() as passes:
        assert_encoded_once(model, images, passes)
        if swaps(model, OTHERS):
            assert_encoded_once(model, images, passes)
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.data = parameter.data + 0.1
            assert_encoded_once(model, images, passes)
            with torch.no_grad():
                parameter.mul_(1.1)
            assert_encoded_once(model, images, passes)


def assert_encoded_once(model: Method, images: Tensor, passes: list[int]) -> None:
    """The first prediction is that of prompts encoded anew; those after it encode none."""
    expected = model(images).softmax(dim=1).detach()  # with gradients, for which prompts are encoded every time
    torch.testing.assert_close(model.probabilities(images), expected, rtol=0, atol=1e-6)
    before = len(passes)
    for part in images.split(2):
        model.probabilities(part)
    assert len(passes) == before


@contextmanager
def counted_passes() -> Iterator[list[int]]:
    """Inside, the list grows by one for each time that prompts are encoded."""
    passes: list[int] = []
    encode = Prompts.encode

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        passes.append(1)
        return encode(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prompts, "encode", counted)
        yield passes


# Copies


def check_it_is_saved_and_loaded(case: Case) -> None:
    classifier = case.classifier(epochs=2).fit(PHOTOS, LABELS)
    with tempfile.TemporaryDirectory() as folder:
        classifier.save(Path(folder) / "run")
        assert_same(PromptClassifier.load(Path(folder) / "run", clip=case.clip), classifier)


def check_it_is_pickled(case: Case) -> None:
    classifier = case.classifier(epochs=2).fit(PHOTOS, LABELS)
    for dump, load in PICKLERS:
        file = io.BytesIO()
        dump(classifier, file)
        file.seek(0)
        assert_same(load(file), classifier)


def check_copies_share_the_frozen_clip(case: Case) -> None:
    classifier = case.classifier(epochs=2).fit(PHOTOS, LABELS)
    images, before = case.images(), state(classifier)
    copied, alone = copy.deepcopy(classifier), copy.deepcopy(classifier.model_)
    assert copied.clip_ is copied.model_.clip is alone.clip is case.clip
    assert_same(copied, classifier)
    assert torch.equal(alone(images), classifier.model_(images))
    with torch.no_grad():
        for parameter in [*copied.model_.parameters(), *alone.parameters()]:
            parameter.zero_()
    assert state(classifier) == before
    unfitted = clone(classifier)
    assert unfitted.get_params() == classifier.get_params() and unfitted.clip is case.clip
    assert not hasattr(unfitted, "model_")
    assert state(unfitted.fit(PHOTOS, LABELS)) == before


def assert_same(one: PromptClassifier, other: PromptClassifier) -> None:
    assert state(one) == state(other)
    assert one.fit_.history == other.fit_.history
    assert np.array_equal(one.predict_proba(UNSEEN), other.predict_proba(UNSEEN))


PICKLERS: list[tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]] = [
    (pickle.dump, pickle.load),
    (joblib.dump, joblib.load),
    (torch.save, lambda file: torch.load(file, weights_only=False)),
]


# Refusals


def check_errors_are_one_line(case: Case) -> None:
    images, model = case.images(), case.build()
    refused(lambda: model(images[:, :-1]), r"image_features: expected shape \[B, E=\d+\]; got \[5, \d+\]")
    for names, message in BAD_NAMES:
        refused(lambda names=names: case.build(names), message)
        refused(lambda names=names: model.set_classes(names), f"{message}|^classes: expected")
        assert model.class_names == NAMES
    unknown = PromptClassifier(case.name, case.clip, {"no_such_setting": 1})
    refused(lambda: unknown.fit(PHOTOS, LABELS), "no_such_setting: expected nothing, because the method")


BAD_NAMES = [
    ([], "class names: expected at least one"),
    (["seven", "_ "], "class names: expected words in every name; got '_ '"),
    ("seven", "class names: expected a list of names, in an order that stays; got 'seven'"),
    ({"seven", "one"}, "class names: expected a list of names, in an order that stays"),
    (["seven", 1], "class names: expected a list of texts"),
    (["seven", "long " * 80 + "name", "one", "two"], r"long long.*at most 77 tokens"),
]


def check_moves_are_refused_in_one_line(case: Case) -> None:
    model, images = case.build(), case.images()
    before = model(images)
    for move in (model.double, model.half, lambda: model.to("meta"), lambda: model.to(torch.bfloat16)):
        refused(move, "expected to stay with its CLIP")
    for move in (lambda: model.to("cpu"), model.float, model.eval, model.train):
        assert move() is model
    assert torch.equal(model(images), before)


def refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


# What checks share


def state(classifier: PromptClassifier) -> dict[str, bytes]:
    """The learned tensors' bits."""
    return bits(classifier.model_)


def bits(model: Method) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def frozen_bytes(clip: CLIP) -> str:
    """SHA-256 of both towers' tensors as they are now."""
    digest = hashlib.sha256()
    for tower in (clip.text, clip.image_tower):
        for tensor in tower.state_dict().values():
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@cache
def in_float64() -> CLIP:
    """The bundled CLIP in float64."""
    return CLIP.load("tiny", device="cpu", dtype="float64")


CHECKS: list[Callable[[Case], None]] = [
    check for name, check in list(globals().items()) if name.startswith("check_") and name != "check_method"
]
