"""Every registered method, with every combination of its choices, held to `method_contract`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from method_cases import Case, cases
from method_contract import CHECKS, LABELS, OTHERS, PHOTOS, check_method, counted_passes, state, swaps
from sklearn.model_selection import GridSearchCV, cross_validate
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop import CLIP, METHODS, ConditionalPrompts, InputError, Method, PromptClassifier, Recipe

_CLIP = CLIP.load("tiny", device="cpu")

WITHOUT_CHOICES = [
    Case("zero-shot", _CLIP, {"templates": ["a photo of a {}.", "the sign {}."]}),
    Case("coop", _CLIP, {"context": "one of_many"}),
    Case("coop", _CLIP, {"context": None, "context_length": 3, "class_specific": True}),
    Case("cocoop", _CLIP, {"context": None, "context_length": 3, "meta_nets": "per-token"}),
]
"""Settings that are no choice among a few."""

CASES = [case for name in METHODS for case in cases(name, _CLIP)] + WITHOUT_CHOICES


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_the_cases_are_all_combinations_of_choices():
    counts = {name: len(cases(name, _CLIP)) for name in ("zero-shot", "coop", "cocoop")}
    assert counts == {"zero-shot": 1, "coop": 2 * 3 * 3, "cocoop": 2 * 3}


def test_only_what_is_bound_to_its_classes_keeps_them():
    kept = [case for case in CASES if not swaps(case.build(), OTHERS)]
    heads = {"zs-lp", "clap", "taskres", "tip-adapter", "tip-adapter-f", "linear-probe"}
    assert kept == [case for case in CASES if case.settings.get("class_specific") or case.name in heads] != []


META_NET = {"linear1.weight": [8, 128], "linear1.bias": [8], "linear2.weight": [128, 8], "linear2.bias": [128]}
"""Of the bundled CLIP: E = D = 128."""

STATES = [
    ("zero-shot", {}, {}),
    ("coop", {}, {"ctx": [4, 128]}),
    ("coop", {"context": None, "context_length": 16}, {"ctx": [16, 128]}),
    ("coop", {"class_specific": True}, {"ctx": [4, 4, 128]}),
    ("coop", {"class_position": "front", "similarity": "dot"}, {"ctx": [4, 128]}),
    ("cocoop", {}, {"ctx": [4, 128], **{f"meta_net.{name}": shape for name, shape in META_NET.items()}}),
    (
        "cocoop",
        {"meta_nets": "per-token", "similarity": "euclidean"},
        {"ctx": [4, 128], **{f"meta_nets.{m}.{name}": shape for m in range(4) for name, shape in META_NET.items()}},
    ),
]


@pytest.mark.parametrize(("name", "settings", "expected"), STATES)
def test_exactly_what_is_trainable_and_saved(name, settings, expected):
    """Names and shapes in run folders and in the original code's checkpoints: they may not change."""
    model = Case(name, _CLIP, settings).build()
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == expected
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == set(expected)


def test_coop_encodes_its_prompts_once_and_zero_shot_never_again():
    for name, expected in (("coop", 1), ("zero-shot", 0)):
        case = Case(name, _CLIP)
        model = case.build()
        with counted_passes() as passes:
            for _ in range(3):
                model.probabilities(case.images())
        assert len(passes) == expected


# A method that is not this package's


class LowRank(ConditionalPrompts):
    """v_m + U V x, with U [D, 2], V [2, E], pulled towards zero."""

    recipe: ClassVar[Recipe] = Recipe(epochs=3, batch_size=2)

    def __init__(self, clip: CLIP, class_names: Sequence[str], pull: float = 0.1, gate: bool = False, **others: Any):
        super().__init__(clip, class_names, **others)
        self.pull, self.gate = pull, gate
        dtype = self.ctx.dtype
        self.down = nn.Parameter(torch.randn(2, clip.embed_dim).mul(0.1).to(dtype))
        self.up = nn.Parameter(torch.randn(clip.text.width, 2).mul(0.1).to(dtype))

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "pull": self.pull, "gate": self.gate}

    def context(self, image_features: Tensor) -> Tensor:
        return self.context_of(self.code(image_features))

    def code(self, image_features: Tensor) -> Tensor:
        return image_features @ self.down.T

    def context_of(self, code: Tensor) -> Tensor:
        shift = code @ self.up.T
        return self.ctx + (shift.tanh() if self.gate else shift)[:, None]

    def loss(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = super().loss(image_features, labels)
        return loss + self.pull * self.up.square().sum(), logits


class Prototypes(Method):
    """Logits against the mean feature of each class's images: all is learned in `prepare`."""

    def __init__(self, clip: CLIP, class_names: Sequence[str]) -> None:
        super().__init__(clip, class_names)
        means = torch.zeros(len(class_names), clip.embed_dim, dtype=torch.promote_types(clip.dtype, torch.float32))
        self.means = nn.Parameter(means, requires_grad=False)
        self.take_classes()

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def take_classes(self) -> None:
        self.clip.encode_texts(self.class_names)  # refuses too long a name

    def set_classes(self, class_names: Sequence[str]) -> Method:
        if list(class_names) != self.class_names:
            raise InputError("classes: expected the classes that it has images of; got others. Fit again.")
        return self

    def prepare(self, image_features: Tensor, labels: Tensor) -> None:
        for label in labels.unique():
            self.means[label] = image_features[labels == label].mean(dim=0)

    def forward(self, image_features: Tensor) -> Tensor:
        self.expect_features(image_features)
        return self.clip.logit_scale * image_features @ self.means.T


@pytest.mark.parametrize("method", [LowRank, Prototypes])
def test_a_method_from_outside_is_held_to_the_same(method, monkeypatch):
    monkeypatch.setitem(METHODS, "mine", method)
    check_method("mine", _CLIP)


def test_choices_of_a_method_from_outside_are_tried_too(monkeypatch):
    monkeypatch.setitem(METHODS, "mine", LowRank)
    tried = [(case.settings["gate"], case.settings["similarity"]) for case in cases("mine", _CLIP)]
    expected = {(gate, s) for gate in (False, True) for s in ("cosine", "dot", "euclidean")}
    assert len(tried) == 6 and set(tried) == expected


class SeesTheBatch(LowRank):
    def context(self, image_features: Tensor) -> Tensor:
        return super().context(image_features - image_features.mean(dim=0))


class Forgets(LowRank):
    @property
    def settings(self) -> dict[str, Any]:
        return super().settings | {"pull": 0.1}


class CannotBeSaved(LowRank):
    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for name, value in super().settings.items() if name != "gate"}


class Meddles(LowRank):
    def prepare(self, image_features: Tensor, labels: Tensor) -> None:
        self.clip.text.positions.data += 0.001


class WrongGradients(LowRank):
    def loss(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = super().loss(image_features, labels)
        return loss + self.up.detach().square().sum(), logits


class Counts(LowRank):
    def __init__(self, clip: CLIP, class_names: Sequence[str], **others: Any):
        super().__init__(clip, class_names, **others)
        self.register_buffer("seen", torch.zeros(1))


class IgnoresWeights(LowRank):
    def loss(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self(image_features)
        return F.cross_entropy(logits, labels), logits


class TakesTorchsMean(LowRank):
    def loss(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self(image_features)
        return F.cross_entropy(logits, labels, self.class_weights), logits


class Undeclared(LowRank):
    conditional: ClassVar[bool] = False


BROKEN = [
    (SeesTheBatch, {}, "check_an_image_does_not_depend_on_its_batch"),
    (Forgets, {"pull": 0.2}, "check_settings_build_it_again"),
    (CannotBeSaved, {"gate": True}, "check_settings_build_it_again"),
    (CannotBeSaved, {"gate": True}, "check_it_is_saved_and_loaded"),
    (Meddles, {}, "check_training_changes_what_it_learns_and_nothing_else"),
    (WrongGradients, {}, "check_gradients_are_those_of_the_loss"),
    (Counts, {}, "check_its_state_is_what_it_learns"),
    (IgnoresWeights, {}, "check_class_weights_are_in_the_loss"),
    (TakesTorchsMean, {}, "check_class_weights_are_in_the_loss"),
    (Undeclared, {}, "check_logits_and_probabilities"),
]


@pytest.mark.parametrize(("method", "settings", "name"), BROKEN)
def test_a_method_that_breaks_its_promise_is_noticed(method, settings, name, monkeypatch):
    monkeypatch.setitem(METHODS, "mine", method)
    (check,) = [check for check in CHECKS if check.__name__ == name]
    with pytest.raises((AssertionError, InputError)):
        check(Case("mine", CLIP.load("tiny", device="cpu"), settings))


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_prompts_of_each_image_must_be_declared(mode, count, monkeypatch):
    """Those of the first batch were kept for all others."""
    monkeypatch.setitem(METHODS, "mine", Undeclared)
    case = Case("mine", _CLIP)
    with mode(), pytest.raises(InputError, match=r"Undeclared: expected .*got \[2, 4, 128\].*conditional = True"):
        case.build()(case.images()[:count])


# scikit-learn's loops, in processes


@pytest.fixture
def processes() -> Iterator[int]:
    """How many to use. joblib keeps processes for its next call, and later tests count what runs: they end here."""
    yield 2
    get_reusable_executor().shutdown(wait=True)


def test_cross_validation_in_processes_gives_its_estimators_back(processes):
    classifier = Case("cocoop", _CLIP).classifier(epochs=2)
    here, there = (
        cross_validate(classifier, PHOTOS, LABELS, cv=2, return_estimator=True, n_jobs=jobs)
        for jobs in (None, processes)
    )
    assert here["test_score"].tolist() == there["test_score"].tolist()
    assert [state(fold) for fold in here["estimator"]] == [state(fold) for fold in there["estimator"]]


def test_a_grid_search_in_processes(processes):
    choices = {"settings": [{"context": "a photo of a"}, {"context": None, "context_length": 2}]}
    classifier = Case("coop", _CLIP).classifier(epochs=2)
    search = GridSearchCV(classifier, choices, cv=2, n_jobs=processes).fit(PHOTOS, LABELS)
    assert search.best_params_["settings"] in choices["settings"]
    assert isinstance(search.best_estimator_, PromptClassifier) and search.best_estimator_.clip is _CLIP
