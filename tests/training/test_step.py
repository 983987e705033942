"""A step that decides on its device: what it changes, what stops it, and that it never waits."""

import math
import pickle
from contextlib import nullcontext
from types import SimpleNamespace

import golden_clip
import pytest
import torch
from golden_clip import FACTS, VALUES, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from cocoop import CoCoOp, CoOp, Method
from cocoop.features import FixedFeatures
from cocoop.training import DivergedError, Step, loss_scale, train
from cocoop.training.loop import _order
from cocoop.training.loss_scale import LossScale
from cocoop.training.step import read
from cocoop.training.stopped import explain

NAMES = FACTS["class_names"]
FEATURES = VALUES["image_features"]
LABELS = torch.tensor(FACTS["labels"])


def make(clip, method=CoCoOp):
    torch.manual_seed(0)
    return method(clip, NAMES)


def copies(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in ours.keys() | theirs.keys())


class Toy(torch.nn.Module):
    """Two logits, +-strength * weight, computed in the dtype; stands where a method does."""

    def __init__(self, dtype=torch.float32, strength=1.0, function=lambda weight: weight):
        super().__init__()
        self.clip = SimpleNamespace(device=torch.device("cpu"), dtype=dtype, products=nullcontext)
        self.weight = torch.nn.Parameter(torch.tensor([0.5]))
        self.strength, self.function = strength, function

    loss, gradients, cross_entropy = Method.loss, Method.gradients, Method.cross_entropy
    class_weights, weighing = None, Method.weighing

    def forward(self, features):
        logit = self.function(self.weight.to(self.clip.dtype)) * self.strength
        return torch.stack([logit, -logit], dim=1).float() * features


ONE, FIRST = torch.ones(1, 1), torch.tensor([0])


def test_facts_of_a_step(golden):
    model = make(golden)
    logits = model(FEATURES).detach()
    (facts,) = read([Step(model)(FEATURES, LABELS)])
    assert facts.loss == cross_entropy(logits, LABELS).item()
    assert facts.hits == int((logits.argmax(dim=1) == LABELS).sum())
    assert not facts.stopped
    assert read([]) == []


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_what_is_not_finite_changes_nothing_that_an_optimizer_keeps(golden, optimizer):
    """Nor does a rehearsal; its first step and its second, when there are moments already."""
    model = make(golden, CoOp)
    step = Step(model, lr=0.1, optimizer=optimizer)
    for _ in range(2):
        before = {name: tensor.clone() for name, tensor in step.state().items()}
        with step.rehearsal():
            step(FEATURES, LABELS)
        assert same(step.state(), before)
        step(FEATURES, LABELS)
        assert not any(torch.equal(step.state()[name], before[name]) for name in before if name[:4] != "good")
    before = {name: tensor.clone() for name, tensor in step.state().items()}
    for _ in range(2):
        assert read([step(FEATURES * math.nan, LABELS)])[0].stopped
    changed = {name for name, tensor in step.state().items() if not torch.equal(tensor, before[name])}
    assert changed <= {"good.ctx"}  # which the last finite loss was of


@pytest.mark.parametrize(("optimizer", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_is_torchs_own(golden, optimizer, kind):
    numbers = {"lr": 0.01, "weight_decay": 0.1, "eps": 1e-3}
    ours, theirs = make(golden, CoOp), make(golden, CoOp)
    step, plain = Step(ours, optimizer=optimizer, **numbers), kind(theirs.parameters(), **numbers, foreach=False)
    for _ in range(5):
        step(FEATURES, LABELS)
        plain.zero_grad()
        theirs.loss(FEATURES, LABELS)[0].backward()
        plain.step()
    start = make(golden, CoOp).ctx.detach()
    assert relative_error(ours.ctx.detach() - start, theirs.ctx.detach() - start) < 1e-4


class Counting(TorchDispatchMode):
    """Notes every operation that makes the host wait for the device, or sends it a constant of the host."""

    HOST = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "lift_fresh", "masked_select")

    def __init__(self):
        super().__init__()
        self.functions = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.__name__.split(".")[0] in self.HOST:
            self.functions.append(function.__name__)
        return function(*args, **(kwargs or {}))


def test_the_guard_sees_what_it_should():
    for waits in (lambda x: x.item(), lambda x: bool(x), lambda x: x[x > 0], lambda x: torch.tensor(1.0)):
        with Counting() as mode:
            waits(torch.ones(()))
        assert mode.functions


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("method", [CoCoOp, CoOp])
def test_a_step_never_waits_for_its_device(method, dtype):
    step = Step(make(golden_clip.load(dtype=dtype), method))
    with Counting() as mode:
        step(FEATURES, LABELS)
    assert mode.functions == []


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_a_bad_image_stops_at_its_step_with_the_tensors_before_it(golden, at_once, monkeypatch):
    """Against torch's SGD, stopped by hand; whether each step is read at once or many together."""
    monkeypatch.setattr("cocoop.training.loop._steps_at_once", lambda device: at_once)
    epochs, bad = 3, _order(6, 1, 2, seed=1)[2]  # the second step of epoch 1 has the bad image

    class Source(FixedFeatures):
        def batches(self, epoch, order, batch_size):
            features = FEATURES.clone()
            if epoch == 1:
                features[bad] = math.nan
            return iter(features[order].split(batch_size))

    model = make(golden)
    with pytest.raises(DivergedError, match=r"finite loss; got nan in epoch 1, step 1,.*rate 0\.002, dtype float32"
                       ) as caught:  # fmt: skip
        train(model, Source(FEATURES), FACTS["labels"], epochs=epochs, batch_size=2, seed=1)

    slow = make(golden)
    optimizer = torch.optim.SGD(slow.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4)
    for batch in torch.tensor(_order(6, 0, 2, seed=1)).split(2):
        optimizer.zero_grad()
        cross_entropy(slow(FEATURES[batch]), LABELS[batch]).backward()
        optimizer.step()
    # The first step of epoch 1 had a finite loss with these tensors; what its update made of them is not kept.
    assert same(copies(slow), caught.value.tensors)
    assert same(copies(model), caught.value.tensors)
    assert [epoch.epoch for epoch in caught.value.history] == [0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_learning_rate_that_is_too_high(dtype):
    model = make(golden_clip.load(dtype=dtype))
    advice = "Lower the learning rate" + ("." if dtype == "float32" else ", or load the CLIP with dtype float32.")
    with pytest.raises(DivergedError, match=advice) as caught:
        train(model, FixedFeatures(FEATURES), FACTS["labels"], epochs=20, batch_size=6, seed=1, lr=1e30)
    assert same(copies(model), caught.value.tensors)
    assert cross_entropy(model(FEATURES), LABELS).isfinite()


def test_features_that_are_bad_from_the_start_are_no_matter_of_the_rate(golden):
    model = make(golden)
    before = copies(model)
    with pytest.raises(DivergedError, match=r"epoch 0, step 0.*features or the CLIP's weights are at fault"):
        train(model, FixedFeatures(FEATURES * math.nan), FACTS["labels"], epochs=1, batch_size=2, seed=1)
    assert same(copies(model), before)


def test_the_error_passes_between_processes():
    error = DivergedError("training: expected", [1], {"ctx": torch.ones(2)})
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.history, type(again)) == (str(error), [1], DivergedError)
    assert torch.equal(again.tensors["ctx"], torch.ones(2))


def test_once_stopped_nothing_changes():
    model = Toy()
    step = Step(model)
    step(ONE, FIRST)
    good = model.weight.item()
    step(ONE, FIRST)
    for _ in range(3):
        assert read([step(ONE * math.inf, FIRST)])[0].stopped
        assert read([step(ONE, FIRST)])[0].stopped
    step.restore()
    assert model.weight.item() == good


def test_a_gradient_that_is_not_finite_stops_before_its_update():
    """|w|^(1/2) at 0: the value is 0, the slope infinite."""
    model = Toy(function=lambda weight: weight.abs().sqrt())
    with torch.no_grad():
        model.weight.zero_()
    step = Step(model)
    (facts,) = read([step(ONE, FIRST)])
    assert facts.stopped and facts.loss == pytest.approx(math.log(2))
    assert model.weight.item() == 0
    step.restore()
    assert model.weight.item() == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([1.0, math.inf, math.nan]), max_size=30))
def test_the_scale_moves_as_torchs_own(gradients):
    ours = LossScale(torch.device("cpu"))
    theirs = torch.amp.GradScaler("cpu", growth_interval=4)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_scale, "_PATIENCE", 4)
        for gradient in gradients:
            theirs.scale(torch.zeros(()))
            parameter.grad = torch.tensor([gradient])
            theirs.step(optimizer)
            theirs.update()
            ours.update(torch.tensor(math.isfinite(gradient)), frozen=torch.tensor(False))
            ours.update(torch.tensor(math.isfinite(gradient)), frozen=torch.tensor(True))
            assert ours.value.item() == theirs.get_scale()


def test_the_scale_never_becomes_infinite():
    scale = LossScale(torch.device("cpu"))
    scale.value.fill_(2.0**127)
    scale.sound_steps.fill_(loss_scale._PATIENCE - 1)
    scale.update(torch.tensor(True), frozen=torch.tensor(False))
    assert scale.value == 2.0**127


def test_a_parameter_that_is_frozen_stays(golden):
    model = make(golden)
    model.meta_net.requires_grad_(False)
    before = copies(model)
    Step(model, lr=0.1)(FEATURES, LABELS)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"ctx"}


def test_a_scaled_gradient_that_overflows_skips_the_update_and_training_goes_on():
    """Against torch's GradScaler and SGD on the same numbers."""
    ours, theirs = Toy(torch.float16, 30.0), Toy(torch.float16, 30.0)
    step = Step(ours)
    scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.002, momentum=0.9, weight_decay=5e-4)
    other, skipped = torch.tensor([1]), 0
    for _ in range(12):
        before = ours.weight.item()
        assert not read([step(ONE, other)])[0].stopped
        skipped += ours.weight.item() == before
        optimizer.zero_grad()
        scaler.scale(cross_entropy(theirs(ONE), other)).backward()
        scaler.step(optimizer)
        scaler.update()
        assert ours.weight.item() == pytest.approx(theirs.weight.item(), rel=1e-6)
        assert step.scale.value.item() == scaler.get_scale()
    assert 0 < skipped < 12


def test_gradients_that_overflow_at_every_scale_stop_the_training():
    model = Toy(torch.float16, function=lambda weight: (weight - weight).abs().sqrt())
    step = Step(model)
    facts = read([step(ONE, FIRST) for _ in range(40)])
    assert [fact.stopped for fact in facts] == [False] * 30 + [True] * 10  # from 2^16 to below 2^-14
    assert model.weight.item() == 0.5


def test_float16_with_loss_scaling_learns_what_float32_learns(golden, monkeypatch):
    """From a scale at which no gradient of this model overflows, so that both take the same steps."""
    monkeypatch.setattr(loss_scale, "_START", 2.0**10)
    half = golden_clip.load(dtype="float16")
    start = torch.nn.utils.parameters_to_vector(make(golden).parameters())
    moved = []
    for clip in (golden, half):
        model = make(clip)
        train(model, FixedFeatures(FEATURES), FACTS["labels"], epochs=4, batch_size=2, seed=1)
        moved.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach() - start.detach())
        assert moved[-1].dtype == torch.float32
    assert relative_error(moved[1], moved[0]) < 0.05


@pytest.mark.parametrize(
    ("loss", "place", "precision", "said", "advice"),
    [
        (float("inf"), (2, 0), "float32", "a finite loss; got inf in epoch 2, step 0", "Lower the learning rate."),
        (0.5, (0, 3), "float16", "gradients that fit float16 at some scale", "or load the CLIP with dtype float32."),
        (0.5, (0, 3), "bfloat16", "finite gradients; got others, at a loss of 0.5 ", "or load the CLIP with dtype"),
        (0.5, (0, 0), "float64", "finite gradients; got others", "look for numbers in them that are not finite."),
    ],
)
def test_what_is_said_of_a_training_that_diverged(loss, place, precision, said, advice):
    message = explain(loss, *place, 0.002, precision)
    assert message.startswith(f"training: expected {said}") and advice in message
    assert f"(learning rate 0.002, dtype {precision})" in message
