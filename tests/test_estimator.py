"""`PromptClassifier` by scikit-learn's rules, and inside whatever mode of torch its caller has chosen."""

import inspect
import warnings

import numpy as np
import pytest
import sklearn.exceptions
import torch
from own_photos import labelled
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

import cocoop
from cocoop import CLIP, METHODS, InputError, PromptClassifier
from cocoop.training import Step

IMAGES, LABELS = labelled(4)


def make(clip, method="coop", **parameters) -> PromptClassifier:
    quick = {"shots": 2} | ({"epochs": 2, "batch_size": 4} if METHODS[method].recipe else {})
    return PromptClassifier(method, clip, **quick | parameters)


@pytest.fixture(scope="module")
def fitted(tiny) -> PromptClassifier:
    """Tests leave it as it is."""
    return make(tiny).fit(IMAGES, LABELS)


class Wider(PromptClassifier):
    def __init__(self, gamma=1, **others):
        super().__init__(**others)
        self.gamma = gamma


class Narrower(PromptClassifier):
    def __init__(self, clip="tiny", shots=2, seed=4):
        super().__init__("coop", clip, shots=shots, seed=seed, epochs=2, batch_size=4)


def test_a_subclass_with_parameters_of_its_own(tiny, tmp_path):
    copy = clone(Wider(5, method="coop", clip=tiny, shots=2, epochs=2, batch_size=4))
    assert (copy.gamma, copy.epochs, copy.set_params(gamma=7).gamma) == (5, 2, 7)
    assert list(copy.get_params()) == ["gamma", *PromptClassifier().get_params()]
    narrow = clone(Narrower(tiny, seed=3))
    assert narrow.get_params() == {"clip": tiny, "shots": 2, "seed": 3}
    for classifier in (copy, narrow):
        probabilities = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES)
        again = PromptClassifier.load(classifier.save(tmp_path / type(classifier).__name__), tiny)
        assert np.array_equal(again.predict_proba(IMAGES), probabilities)


def test_it_is_a_classifier_that_shows_itself(fitted):
    tags = PromptClassifier().__sklearn_tags__()
    assert (tags.estimator_type, tags.input_tags.two_d_array, tags.input_tags.string) == ("classifier", False, True)
    assert "PromptClassifier(method='coop'" in repr(PromptClassifier(method="coop"))
    assert "coop" in fitted._repr_html_()


def test_arrays_are_the_pictures_that_they_show(tiny, fitted):
    """Pixels [N, H, W, 3], and a list of such."""
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in IMAGES])
    classifier = make(tiny).fit(pixels, np.array(LABELS))
    assert torch.equal(classifier.model_.ctx, fitted.model_.ctx)
    expected = fitted.predict_proba(IMAGES)
    for given in (pixels, list(pixels), np.asfortranarray(pixels)):
        assert np.array_equal(classifier.predict_proba(given), expected)
    assert classifier.score(pixels, LABELS) == classifier.evaluate(list(pixels), LABELS).accuracy / 100
    assert torch.equal(classifier.encode(pixels), fitted.encode(IMAGES))


def test_before_fit_it_is_not_fitted_by_both_names(fitted):
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(PromptClassifier())
    check_is_fitted(fitted)
    for use in (
        lambda c: c.predict(IMAGES),
        lambda c: c.predict_proba(IMAGES),
        lambda c: c.score(IMAGES, LABELS),
        lambda c: c.score(IMAGES, LABELS, [1.0] * len(IMAGES)),
        lambda c: c.evaluate(IMAGES, LABELS),
        lambda c: c.encode(IMAGES),
        lambda c: c.set_classes(["a", "b"]),
        lambda c: c.save("nowhere"),
        lambda c: c.as_run(),
    ):
        with pytest.raises(sklearn.exceptions.NotFittedError, match="expected a fitted classifier") as caught:
            use(PromptClassifier())
        assert isinstance(caught.value, InputError)


def test_weights_of_images_in_the_score(fitted):
    labels = [*LABELS[1:], LABELS[0]]  # three of which are wrong, by whatever classifies all right
    hits = fitted.predict(IMAGES) == np.array(labels)
    assert 0 < hits.sum() < len(hits)
    weights = np.arange(1, len(hits) + 1)
    expected = sum(weight for weight, hit in zip(weights, hits, strict=True) if hit) / weights.sum()
    assert fitted.score(IMAGES, labels, sample_weight=weights) == pytest.approx(expected)
    assert fitted.score(IMAGES, labels, sample_weight=hits) == 1
    assert fitted.score(IMAGES, labels, [3] * len(hits)) == pytest.approx(fitted.score(IMAGES, labels))


@pytest.mark.parametrize(
    "weights",
    [[1.0], [-1.0] + [1.0] * 11, [np.nan] + [1.0] * 11, [np.inf] + [1.0] * 11, [0.0] * 12, ["much"] * 12, [[1]] * 12],
    ids=repr,
)
def test_weights_that_cannot_be(fitted, weights):
    with pytest.raises(InputError, match=r"sample_weight: expected one number of 0 or more for each of 12 images"):
        fitted.score(IMAGES, LABELS, sample_weight=weights)


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_probabilities_sum_to_1(tiny, method):
    classifier = make(tiny, method).fit(IMAGES, LABELS)
    if METHODS[method].bound is None:
        classifier.set_classes([f"thing {number}" for number in range(200)])
    probabilities = classifier.predict_proba(IMAGES)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_learned_stays_with_its_clip(tiny, method):
    """A move would leave the CLIP behind; what is no move works, and a refusal leaves the method as it was."""
    classifier = make(tiny, method).fit(IMAGES, LABELS)
    model, before = classifier.model_, classifier.predict_proba(IMAGES)
    assert model.to("cpu") is model and model.float() is model and model.to(torch.float32) is model
    for move in (model.double, model.half, lambda: model.to(torch.bfloat16), lambda: model.to("meta")):
        with pytest.raises(InputError, match=r"expected to stay with its CLIP.*Load the CLIP with"):
            move()
    assert np.array_equal(classifier.predict_proba(IMAGES), before)


# Modes of torch


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_the_caller_has_switched_off_is_on_in_fit(tiny, fitted, mode):
    with mode():
        inside = make(tiny).fit(IMAGES, LABELS)
    assert torch.equal(inside.model_.ctx, fitted.model_.ctx)
    assert np.array_equal(inside.predict_proba(IMAGES), fitted.predict_proba(IMAGES))


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.recipe])
def test_what_was_made_in_inference_mode_can_be_learned_on(method, tmp_path):
    with torch.inference_mode():
        clip = CLIP.load("tiny", device="cpu")
        folder = make(clip, method, epochs=1).fit(IMAGES, LABELS).save(tmp_path / "run")
        loaded = PromptClassifier.load(folder, clip)
        others = ["one", "three"] if METHODS[method].bound is None else loaded.classes_.tolist()
        swapped = make(clip, method, epochs=1).fit(IMAGES, LABELS).set_classes(others)
        features = clip.encode_images(torch.stack([clip.preprocess(image) for image in IMAGES[:2]]))
    features = features.clone()
    for model in (loaded.model_, swapped.model_):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        step = Step(model, momentum=0.9, weight_decay=5e-4)
        step.set_rate(0.1)
        step(features, torch.tensor([0, 1]))
        assert any(not torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# Names of before


def test_old_keywords_work_and_warn(tiny, tmp_path):
    cases = {
        "features": (tmp_path, {"feature_cache": tmp_path}),
        "compile": ("off", {"cuda_graph": "off"}),
        "context": ("the", {"settings": {"context": "the"}}),
        "class_position": ("front", {"settings": {"class_position": "front"}}),
    }
    for name, (value, now) in cases.items():
        expected = PromptClassifier("coop", tiny, **now).get_params()
        with pytest.warns(FutureWarning, match=rf"^{name} is called .* now; the old name will be gone") as caught:
            built = PromptClassifier("coop", tiny, **{name: value})
        assert built.get_params() == expected and [warning.filename for warning in caught] == [__file__]
        with pytest.warns(FutureWarning, match=rf"^{name} is called"):
            again = PromptClassifier("coop", tiny).set_params(**{name: value})
        assert again.get_params() == expected


def test_several_old_settings_come_together(tiny):
    with pytest.warns(FutureWarning):
        classifier = PromptClassifier("coop", tiny, context=None, context_length=3, settings={"class_specific": True})
    assert classifier.settings == {"class_specific": True, "context": None, "context_length": 3}
    with pytest.warns(FutureWarning):
        classifier.set_params(context_length=2, shots=5)
    assert classifier.settings["context_length"] == 2 and classifier.shots == 5


def test_load_takes_old_names_of_the_machines(fitted, tmp_path):
    folder = fitted.save(tmp_path / "run")
    with pytest.warns(FutureWarning, match="is called (feature_cache|cuda_graph) now"):
        again = PromptClassifier.load(folder, fitted.clip, features=tmp_path / "kept", compile="off")
    assert (again.feature_cache, again.cuda_graph) == (tmp_path / "kept", "off")


def test_both_names_of_one_parameter_are_an_error(tiny, fitted, tmp_path):
    message = "^features is called feature_cache now: expected one of the two; got both"
    with pytest.raises(TypeError, match=message):
        PromptClassifier("coop", tiny, features="a", feature_cache="b")
    with pytest.raises(TypeError, match=message):
        PromptClassifier("coop", tiny).set_params(features="a", feature_cache="b")
    with pytest.raises(TypeError, match=message):
        PromptClassifier.load(fitted.save(tmp_path / "run"), tiny, features="a", feature_cache="b")
    with pytest.raises(TypeError, match=r"^context is called settings=\{'context': \.\.\.\} now: expected one of"):
        PromptClassifier("coop", tiny, context="a", settings={"context": "b"})
    with pytest.warns(FutureWarning, match="^features is called"):  # an old value is no second name
        changed = PromptClassifier("coop", tiny, feature_cache="b").set_params(features="a")
    assert changed.feature_cache == "a"


def test_an_unknown_keyword_is_an_error(tiny):
    with pytest.raises(TypeError, match="takes no 'shot'; it takes method, clip, settings, shots"):
        PromptClassifier(clip=tiny, shot=3)
    with pytest.raises(ValueError, match="shot"):
        PromptClassifier(clip=tiny).set_params(shot=3)


def test_todays_names_do_not_warn(tiny):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parameters = PromptClassifier("coop", tiny, {"context": "the"}).get_params()
        PromptClassifier(**parameters).set_params(**parameters)
    assert list(parameters) == [*inspect.signature(cocoop.PromptClassifier).parameters][:-1]
