"""`PromptClassifier` from the outside: scikit-learn's manners, seeds, saving and loading, and what it refuses."""

import json
import math
import random
import stat

import numpy as np
import pandas as pd
import pytest
import torch
from own_photos import CLASSES, digit_images, labelled, listing, write_photos
from PIL import Image
from safetensors.torch import load_file
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV

from cocoop import CLIP, METHODS, InputError, PromptClassifier, RunError
from cocoop.data import fingerprint
from cocoop.results import Learning

IMAGES, LABELS = labelled(6)
OTHERS = digit_images("four", 3)

VARIANTS = {
    "zero-shot": {"method": "zero-shot", "settings": {"templates": ["a photo of a {}.", "the digit {}."]}},
    "coop": {"method": "coop"},
    "coop, other words": {"method": "coop", "settings": {"context": "handwritten digit"}},
    "coop, class-specific": {"method": "coop", "settings": {"class_specific": True}},
    "coop, class-specific random": {
        "method": "coop",
        "settings": {"class_specific": True, "context": None, "context_length": 2},
    },
    "coop, middle": {"method": "coop", "settings": {"class_position": "middle"}},
    "coop, front": {"method": "coop", "settings": {"class_position": "front"}},
    "cocoop": {"method": "cocoop"},
    "cocoop, random": {"method": "cocoop", "settings": {"context": None, "context_length": 3}},
    "cocoop, per token": {"method": "cocoop", "settings": {"meta_nets": "per-token", "similarity": "dot"}},
    "cocoop, with crops": {"method": "cocoop", "augment": True},
}


def make(clip, method="cocoop", **parameters) -> PromptClassifier:
    # A large rate, so that two epochs move the prompt far enough for a mistake to show.
    quick = {"epochs": 2, "batch_size": 4, "lr": 0.1} if METHODS[method].recipe else {}
    return PromptClassifier(method, clip, **{"shots": 3} | quick | parameters)


@pytest.fixture(scope="module")
def fitted(tiny) -> PromptClassifier:
    """Tests leave it as it is."""
    return make(tiny).fit(IMAGES, LABELS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


def learned(classifier: PromptClassifier) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in classifier.model_.state_dict().items()}


def assert_same_bits(one: PromptClassifier, other: PromptClassifier) -> None:
    assert learned(one).keys() == learned(other).keys()
    assert all(torch.equal(learned(one)[name], learned(other)[name]) for name in learned(one))
    assert one.history_[-1].loss == other.history_[-1].loss
    assert np.array_equal(one.predict_proba(IMAGES), other.predict_proba(IMAGES))


# scikit-learn's manners


def test_parameters_are_stored_untouched_and_cloned_on_the_same_clip(tiny):
    settings = {"templates": ["a {}."]}
    classifier = PromptClassifier("zero-shot", tiny, settings, shots=2)
    assert classifier.get_params()["settings"] is settings
    assert classifier.set_params(shots=5, seed=0) is classifier
    copy = clone(classifier)
    assert copy is not classifier and copy.get_params() == classifier.get_params()
    assert copy.clip is tiny  # scikit-learn's own way would copy the weights
    assert is_classifier(copy) and not hasattr(copy, "classes_")


def test_the_features_of_every_probability(fitted, tiny):
    probabilities = fitted.predict_proba(IMAGES)
    assert probabilities.dtype == np.float64 and probabilities.shape == (len(IMAGES), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert fitted.classes_.tolist() == CLASSES
    # One image at a time, by the model and the CLIP themselves.
    for image, row in zip(IMAGES[::5], probabilities[::5], strict=True):
        alone = fitted.model_.probabilities(tiny.encode_images(tiny.preprocess(image)[None]))[0]
        np.testing.assert_allclose(row, alone.numpy(), atol=1e-5)


def test_predictions_score_and_evaluation_agree_with_counting(fitted):
    probabilities = fitted.predict_proba(IMAGES)
    best = [CLASSES[max(range(3), key=lambda k, row=row: row[k])] for row in probabilities]
    assert fitted.predict(IMAGES).tolist() == best
    # Labels of which every third is wrong, whatever the bundled CLIP is worth.
    others = {"one": "seven", "seven": "three", "three": "one"}
    labels = [others[found] if number % 3 == 0 else found for number, found in enumerate(best)]
    assert fitted.score(IMAGES, labels) == pytest.approx(12 / 18)
    metrics = fitted.evaluate(IMAGES, labels)
    assert (metrics.n, metrics.correct) == (18, 12)
    for name, accuracy in metrics.per_class_accuracy.items():
        right = [found == label for found, label in zip(best, labels, strict=True) if label == name]
        assert accuracy == pytest.approx(100 * sum(right) / len(right))


def test_columns_follow_sorted_labels_whatever_the_order_of_the_images(tiny):
    order = list(range(len(LABELS)))[::-1]
    classifier = make(tiny, method="zero-shot").fit([IMAGES[i] for i in order], [LABELS[i] for i in order])
    assert classifier.classes_.tolist() == CLASSES == classifier.model_.class_names
    expected = make(tiny, method="zero-shot").fit(IMAGES, LABELS).predict_proba(IMAGES)
    np.testing.assert_allclose(classifier.predict_proba(IMAGES), expected, atol=1e-6)


def test_a_grid_search_picks_the_better_template(tiny):
    zero_shot = PromptClassifier("zero-shot", tiny, shots=1)
    choices = [{"templates": [text]} for text in ("{}.", "a photo of the number {}.", "not {}.")]
    search = GridSearchCV(zero_shot, {"settings": choices}, cv=3, refit=False).fit(IMAGES, LABELS)
    # Zero-shot learns nothing, so the mean over equal folds is the accuracy on all images.
    by_hand = [zero_shot.set_params(settings=s).fit(IMAGES, LABELS).score(IMAGES, LABELS) for s in choices]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], by_hand)


def test_files_names_and_open_images_are_the_same(fitted, photos):
    paths = [photos / name / f"{number}.png" for name in CLASSES for number in range(6)]
    expected = fitted.predict_proba(IMAGES)
    assert np.array_equal(fitted.predict_proba(paths), expected)
    assert np.array_equal(fitted.predict_proba([str(path) for path in paths]), expected)
    assert np.array_equal(fitted.predict_proba(np.array([str(path) for path in paths])), expected)
    assert_same_bits(fitted, make(fitted.clip).fit(paths, LABELS))


def test_integer_labels_stay_integers(tiny, tmp_path):
    numbers = [{"one": 1, "seven": 7, "three": 3}[label] for label in LABELS]
    classifier = make(tiny, method="zero-shot").fit(IMAGES, numbers)
    assert classifier.classes_.tolist() == [1, 3, 7] and classifier.model_.class_names == ["1", "3", "7"]
    found = classifier.predict(IMAGES)
    assert found.dtype.kind == "i"
    score = classifier.score(IMAGES, numbers)
    again = PromptClassifier.load(classifier.save(tmp_path / "run"), tiny)
    assert again.predict(IMAGES).tolist() == found.tolist()
    assert again.score(IMAGES, numbers) == score
    assert again.evaluate(IMAGES, numbers).accuracy == pytest.approx(100 * score)


# What it learns from, and seeds


def test_shots_are_picked_per_class_and_none_takes_all(tiny):
    quick = {"method": "coop", "epochs": 1, "augment": False}
    classifier = make(tiny, **quick, shots=2).fit(IMAGES, LABELS)
    assert [LABELS[i] for i in classifier.picked_] == ["one"] * 2 + ["seven"] * 2 + ["three"] * 2
    # The original's rule: one stream, one `random.sample` per class.
    stream = random.Random(1)
    expected = [index for k in range(3) for index in stream.sample(range(6 * k, 6 * k + 6), 2)]
    assert classifier.picked_ == expected
    assert make(tiny, **quick, shots=None).fit(IMAGES, LABELS).picked_ == list(range(18))


def test_what_has_nothing_to_learn_picks_no_images(tiny, photos):
    paths = sorted(photos.rglob("*.png"))
    classifier = make(tiny, method="zero-shot").fit(paths, [path.parent.name for path in paths])
    assert classifier.picked_ == [] and classifier.history_ == [] and classifier.as_run().record.shots == 0
    assert classifier.trained_on == frozenset()


@pytest.mark.parametrize("augment", [True, False])
def test_same_seed_same_bits_whatever_the_global_random_state(tiny, augment):
    classifiers = []
    for state in (0, 123):
        torch.manual_seed(state)
        np.random.seed(state)
        random.seed(state)
        before = torch.get_rng_state(), np.random.get_state(), random.getstate()
        classifiers.append(
            make(tiny, settings={"context": None, "context_length": 2}, augment=augment).fit(IMAGES, LABELS)
        )
        classifiers[-1].predict(IMAGES[:2])
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1][1])
        assert random.getstate() == before[2]
    assert_same_bits(*classifiers)


def test_every_seed_counts_zero_too(tiny):
    fits = [make(tiny, seed=seed).fit(IMAGES, LABELS) for seed in (0, 1, 2, np.int64(0))]
    assert len({tuple(classifier.picked_) for classifier in fits[:3]}) == 3
    assert not torch.equal(learned(fits[0])["ctx"], learned(fits[1])["ctx"])
    assert_same_bits(fits[0], fits[3])


def test_the_random_start_comes_from_the_seed(tiny):
    # The same images for both, and one warm-up epoch at a rate of 1e-5: what differs is the start, N(0, 0.02).
    parameters = {"settings": {"context": None, "context_length": 3}, "shots": None, "epochs": 1, "augment": False}
    one, other = (learned(make(tiny, seed=seed, **parameters).fit(IMAGES, LABELS))["ctx"] for seed in (0, 1))
    assert (one - other).std().item() == pytest.approx(0.02 * 2**0.5, rel=0.2)


def test_a_fit_that_fails_leaves_the_earlier_one_whole(tiny):
    classifier = make(tiny, method="coop").fit(IMAGES, LABELS)
    before, probabilities = learned(classifier), classifier.predict_proba(OTHERS)
    broken = IMAGES[0].copy()
    broken.load = lambda: (_ for _ in ()).throw(OSError("a disk that went away"))
    with pytest.raises(InputError, match="went away"):
        classifier.fit([broken, *OTHERS], ["four", "five", "five", "five"])
    with pytest.raises(RunError, match="finite loss"):
        classifier.set_params(lr=1e30, epochs=3).fit(IMAGES, LABELS)
    assert classifier.classes_.tolist() == CLASSES
    assert all(torch.equal(before[name], tensor) for name, tensor in learned(classifier).items())
    assert np.array_equal(classifier.predict_proba(OTHERS), probabilities)


def test_other_classes_with_the_same_prompt(tiny):
    classifier = make(tiny, method="cocoop").fit(IMAGES, LABELS)
    before = learned(classifier)
    assert classifier.set_classes(["four", "a_cat"]) is classifier
    assert classifier.classes_.tolist() == ["four", "a_cat"]
    assert set(classifier.predict(OTHERS)) <= {"four", "a_cat"}
    assert all(torch.equal(before[name], tensor) for name, tensor in learned(classifier).items())


def test_it_knows_its_training_images_by_content(tiny, photos, tmp_path):
    paths = sorted(photos.rglob("*.png"))
    classifier = make(tiny, method="coop", shots=2, epochs=1).fit(paths, [path.parent.name for path in paths])
    for number, path in enumerate(paths):
        copy = tmp_path / f"renamed-{number}.png"
        copy.write_bytes(path.read_bytes())
        assert (fingerprint(copy) in classifier.trained_on) == (number in classifier.picked_)
    # One byte more is another file.
    copy.write_bytes(paths[classifier.picked_[0]].read_bytes() + b"\0")
    assert fingerprint(copy) not in classifier.trained_on


# Run folders


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_and_loaded_is_the_same(tiny, tmp_path, variant):
    classifier = make(tiny, **VARIANTS[variant]).fit(IMAGES, LABELS)
    folder = classifier.save(tmp_path / "run")
    again = PromptClassifier.load(folder, tiny)
    assert np.array_equal(again.predict_proba(IMAGES), classifier.predict_proba(IMAGES))
    assert again.history_ == classifier.history_ and again.picked_ == classifier.picked_
    assert again.seconds_ == classifier.seconds_
    # It can learn again, the same from the same images.
    assert again.method == classifier.method
    again.fit(IMAGES, LABELS)
    assert all(torch.equal(learned(again)[name], tensor) for name, tensor in learned(classifier).items())


def test_what_a_run_folder_holds(tiny, photos, tmp_path):
    paths = sorted(photos.rglob("*.png"))
    classifier = make(tiny, seed=np.int64(7)).fit(paths, [path.parent.name for path in paths])
    metrics = classifier.evaluate(IMAGES, LABELS)
    folder = classifier.save(tmp_path / "run", metrics)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    files = sorted(path.name for path in folder.iterdir())
    others = ["README.md", "config.json", "metrics.jsonl", "record.json", "training.png"]
    assert files == sorted([*others, "prompt.safetensors", "sample.safetensors"])
    # Readable by all that may read the record (safetensors' own `save_file` writes for the owner only).
    assert len({stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}) == 1
    tensors = load_file(folder / "prompt.safetensors")
    # The learned tensors and nothing else: M = 4 words, D = text width, E // 16 hidden.
    width, joint = tiny.text.width, tiny.embed_dim
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == {
        "ctx": [4, width],
        "meta_net.linear1.weight": [joint // 16, joint],
        "meta_net.linear1.bias": [joint // 16],
        "meta_net.linear2.weight": [width, joint // 16],
        "meta_net.linear2.bias": [width],
    }
    assert all(torch.equal(tensor, learned(classifier)[name]) for name, tensor in tensors.items())
    # Of all nine images, as the last epoch had them, without random views here.
    sample = load_file(folder / "sample.safetensors")["image_features"]
    assert sample.shape == (9, joint) and sample.dtype == torch.float16
    seen = classifier.encode([paths[i] for i in classifier.picked_])
    torch.testing.assert_close(sample.float(), seen, rtol=0, atol=1e-3)
    assert sum(len(content) for content in listing(folder).values()) < 60_000
    record = json.loads((folder / "record.json").read_text())
    beside = {"dataset": None, "test_hash": None, "exif": "apply", "mistakes": []}
    assert record["results"]["test"] == metrics.as_dict() | beside
    assert record["protocol"] == "own-images"
    assert record["shots"] == 3
    assert (record["seed"], record["classes"], record["training_images"]) == (7, 3, 9)
    assert record["trainable_parameters"] == sum(tensor.numel() for tensor in tensors.values())
    assert record["seconds"] > 0 and record["peak_memory_mb"] > 0
    assert len(set(record["trained_on"])) == 9
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    card = (folder / "README.md").read_text()
    assert "one, seven, three" in card and "| test: images | 18 |" in card
    assert f"| test: accuracy | {metrics.accuracy:.2f} |" in card
    config = json.loads((folder / "config.json").read_text())
    assert config["parameters"]["clip"] == "tiny"
    assert not {"device", "dtype", "cuda_graph"} & set(config["parameters"])  # a matter of the machine that loads it


def test_numbers_of_any_kind_are_saved_as_plain_ones(tiny, tmp_path):
    kinds = {"shots": np.int64(2), "epochs": np.int16(1), "batch_size": np.uint8(4), "lr": np.float32(0.5)}
    kinds |= {"seed": np.int64(-3), "views": np.int64(1), "view_seed": np.int32(7), "augment": True}
    kinds |= {"method": "coop"}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in kinds.items()}
    kinds["settings"] = {"context": None, "context_length": np.int64(2), "class_specific": np.bool_(False)}
    plain["settings"] = {"context": None, "context_length": 2, "class_specific": False}
    fits = [make(tiny, **numbers).fit(IMAGES, LABELS) for numbers in (kinds, plain)]
    assert_same_bits(*fits)
    runs = [json.loads((fit.save(tmp_path / f"{n}") / "config.json").read_text()) for n, fit in enumerate(fits)]
    assert runs[0] == runs[1] and runs[0]["parameters"]["views"] == 1
    records = [fit.as_run().record for fit in fits]
    assert [json.dumps(record.settings) for record in records] == [json.dumps(records[1].settings)] * 2
    assert records[0].learning == Learning(epochs=1, batch_size=4, lr=0.5, augment=True, views=1)
    assert (records[0].seed, records[0].shots) == (-3, 2)


@pytest.mark.parametrize("name", ["memory_budgt", "seed"])
def test_load_takes_what_is_of_the_machine_and_nothing_else(fitted, tmp_path, name):
    folder = fitted.save(tmp_path / "run")
    with pytest.raises(InputError, match=f"load: expected one of device, dtype, memory_budget, .*; got '{name}'"):
        PromptClassifier.load(folder, fitted.clip, **{name: 7})


def test_swapped_classes_are_saved(tiny, tmp_path):
    classifier = make(tiny, method="coop").fit(IMAGES, LABELS).set_classes(["four", "cat"])
    again = PromptClassifier.load(classifier.save(tmp_path / "run"), tiny)
    assert again.classes_.tolist() == ["four", "cat"]
    assert np.array_equal(again.predict_proba(OTHERS), classifier.predict_proba(OTHERS))


def test_the_bundled_clip_is_found_by_its_name(fitted, tmp_path):
    again = PromptClassifier.load(fitted.save(tmp_path / "run"), device="cpu")
    np.testing.assert_allclose(again.predict_proba(OTHERS), fitted.predict_proba(OTHERS), atol=1e-5)


def test_a_prompt_needs_a_clip_of_its_own_widths(fitted, golden, tmp_path):
    folder = fitted.save(tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    # The golden CLIP's stand-in tokenizer knows few texts.
    config["class_names"] = config["classes"] = ["tench", "otter"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"meta_net.linear1.bias of shape \[2\]; got \[8\]. Give the CLIP"):
        PromptClassifier.load(folder, golden)


@pytest.mark.parametrize(
    "edited",
    [
        {"settings": {"words": 3}},
        {"settings": [3]},
        {"classes": ["one", "seven"]},
        {"classes": [["one"], ["seven", "three"]]},
        {"class_names": ["one", "seven", "four"]},
        {"class_names": [1, 7, 3]},
    ],
)
def test_an_edited_config_is_not_guessed_at(fitted, tmp_path, edited):
    config = fitted.save(tmp_path / "run") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | edited))
    with pytest.raises(
        InputError,
        match=r"run: expected a run folder as cocoop wrote it|config.json: expected a run's file",
    ):
        PromptClassifier.load(tmp_path / "run")


def test_a_taken_folder_is_left_alone(fitted, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="new or empty folder"):
        fitted.save(tmp_path)
    assert listing(tmp_path) == {"notes.txt": b"mine"}


def test_clip_given_as_a_relative_folder_is_found_from_elsewhere(tmp_path, monkeypatch):
    from cocoop.clip.sources.load import BUNDLED

    (tmp_path / "my-clip").symlink_to(BUNDLED["tiny"])
    monkeypatch.chdir(tmp_path)
    classifier = PromptClassifier("zero-shot", "my-clip", shots=1, device="cpu").fit(IMAGES, LABELS)
    classifier.save("run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = PromptClassifier.load("../run", device="cpu")
    assert np.array_equal(again.predict_proba(OTHERS), classifier.predict_proba(OTHERS))


# What it refuses


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.predict(IMAGES),
        lambda c: c.evaluate(IMAGES, LABELS),
        lambda c: c.set_classes(["a", "b"]),
        lambda c: c.trained_on,
        lambda c: c.save("nowhere"),
    ],
)
def test_unfitted(use):
    with pytest.raises(InputError, match="expected a fitted classifier"):
        use(PromptClassifier())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "maple"}, "expected one of zero-shot, coop, cocoop.*; got 'maple'"),
        ({"shots": 0}, "shots: expected an integer of 1 or more; got 0"),
        ({"shots": 1.5}, "shots: expected an integer of 1 or more; got 1.5"),
        ({"shots": True}, "shots: expected an integer of 1 or more; got True"),
        ({"epochs": np.array(3)}, r"epochs: expected an integer of 1 or more; got array\(3\)"),
        ({"batch_size": True}, "batch_size: expected an integer of 1 or more; got True"),
        ({"epochs": 0}, "epochs: expected an integer of 1 or more; got 0"),
        ({"batch_size": -1}, "batch_size: expected an integer"),
        ({"lr": 0}, "lr: expected a learning rate above 0"),
        ({"lr": -0.1}, "lr: expected a learning rate above 0"),
        ({"lr": float("nan")}, "lr: expected a learning rate above 0"),
        ({"lr": "0.1"}, "lr: expected a learning rate above 0.*got '0.1'"),
        ({"lr": True}, "lr: expected a learning rate above 0.*got True"),
        ({"cuda_graph": "of"}, "cuda_graph: expected one of auto, on, off; got 'of'"),
        ({"cuda_graph": "on", "clip": "tiny", "device": "cpu"}, "cuda_graph: expected auto or off on the device cpu"),
        ({"seed": "one"}, "seed: expected an integer"),
        ({"seed": 2**64}, "seed: expected an integer"),
        ({"seed": True}, "seed: expected an integer of 64 bits, 0 too; got True"),
        ({"seed": np.array(1)}, r"seed: expected an integer of 64 bits, 0 too; got array\(1\)"),
        ({"view_seed": False}, "view_seed: expected an integer of 64 bits, 0 too; got False"),
        ({"views": 0}, "views: expected an integer of 1 or more; got 0"),
        ({"views": 5, "augment": False}, "views: expected nothing, because augment=False says .*; got 5. Leave it out"),
        (
            {"view_seed": 0, "augment": False},
            "view_seed: expected nothing, because augment=False says .*; got 0. Leave",
        ),
        ({"views": 5}, "views: expected nothing, because the files of the CLIP tiny say .*; got 5. Leave it out"),
        ({"device": "cpu"}, "device: expected auto beside a CLIP that is loaded .*got 'cpu'. Give it to CLIP.load"),
        ({"dtype": torch.float16}, "dtype: expected auto beside a CLIP that is loaded .*got torch.float16"),
        ({"memory_budget": "1GB"}, "memory_budget: expected auto beside a CLIP that is loaded .*got '1GB'"),
        ({"memory_budget": "nonsense"}, "memory_budget: expected auto beside a CLIP"),
        ({"view_seed": "one"}, "view_seed: expected an integer"),
        ({"feature_cache": __file__}, "expected a folder for image features; it is a file"),
        (
            {"method": "zero-shot", "settings": {"context": "the"}},
            "context: .* zero-shot has no such .*choose coop or cocoop",
        ),
        ({"method": "cocoop", "settings": {"class_specific": True}}, "class_specific: .*choose coop"),
        ({"method": "coop", "settings": {"templates": ["{}"]}}, r"templates: .*got \['{}'\].*choose zero-shot"),
        ({"method": "zero-shot", "settings": {"templates": ["a photo"]}}, "texts with {}.*got 'a photo'"),
        ({"method": "coop", "settings": {"class_position": "top"}}, "expected one of end, middle, front; got 'top'"),
        ({"settings": {"context": None}}, "context_length: expected a number of random"),
        ({"settings": {"context": None, "context_length": 0}}, "context_length: expected a number of random"),
        ({"settings": {"context": 5}}, "context: expected words, or None for random vectors; got 5"),
        ({"settings": {"meta_nets": 4}}, "meta_nets: expected one of shared, per-token; got 4"),
        ({"settings": {"similarity": "cos"}}, "similarity: expected one of cosine, dot, euclidean; got 'cos'"),
        ({"settings": 7}, "settings: expected the method's settings by name, or None; got 7"),
        ({"augment": "no"}, "augment: expected True, False or 'auto'; got 'no'"),
        ({"augment": 0}, "augment: expected True, False or 'auto'; got 0"),
        ({"augment": 1.0}, "augment: expected True, False or 'auto'; got 1.0"),
        ({"method": "zero-shot", "epochs": 9}, "epochs: expected nothing, because the method zero-shot is not trained"),
        ({"method": "zero-shot", "lr": 3.0}, "lr: expected nothing, because the method zero-shot is not .*; got 3.0"),
        ({"method": "zero-shot", "view_seed": 0}, "view_seed: expected nothing, because the method zero-shot is not"),
        ({"settings": {"context": " "}}, "context: expected at least one word"),
        ({"settings": {"context": "a photo of a", "context_length": 9}}, "context_length: expected 4"),
    ],
)
def test_parameters_that_cannot_work(tiny, parameters, message):
    with pytest.raises(InputError, match=message) as caught:
        PromptClassifier(**{"clip": tiny} | parameters).fit(IMAGES, LABELS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:-1], "one per image; got 18 images and 17 labels"),
        (IMAGES[:6], LABELS[:6], "at least two classes; got one class only, 'one'"),
        ([], [], "at least one image"),
        ("photos", ["one"] * 6, "a list of at least one image or image file; got 'photos'"),
        (IMAGES[0], ["one"], "a list of at least one image"),
        (
            np.zeros((2, 8, 8, 3)),
            ["one", "two"],
            r"expected an array \[H, W, 3\] of uint8; got \[8, 8, 3\] of f",
        ),
        (
            [b"GIF89a"],
            ["one"],
            r"expected image files, Pillow images or arrays \[H, W, 3\] of uint8; got bytes",
        ),
        (IMAGES, None, "labels: expected a list, one per image; got NoneType"),
        (iter(IMAGES), LABELS, "a list of at least one image or image file; got <list_iter"),
        (IMAGES, iter(LABELS), "labels: expected a list, one per image; got list_iterator"),
        (IMAGES, [None, *LABELS[1:]], "labels: expected a name in every place; number 0, .*, is missing .None"),
        (IMAGES, [*LABELS[:-1], math.nan], "labels: expected a name in every place; number 17, .*, is missing .nan"),
        (IMAGES, [*LABELS[:-1], np.float64("nan")], "number 17, counted from 0, is missing"),
        (IMAGES[:3], np.array(["one", None, "two"], dtype=object), "number 1, counted from 0, is missing"),
        (IMAGES[:3], np.array([1.0, np.nan, 2.0]), "number 1, counted from 0, is missing"),
        (IMAGES[:2], [pd.NA, "one"], "number 0, counted from 0, is missing"),
        (IMAGES[:2], [pd.NaT, "one"], "number 0, counted from 0, is missing"),
        (IMAGES[:2], pd.Series(["one", None]), "number 1, counted from 0, is missing"),
        (IMAGES[:2], [b"one", b"two"], r"labels: expected texts; got the bytes b'one'. Decode them: label.decode\(\)"),
        (IMAGES[:2], np.array([b"one", b"two"]), "labels: expected texts; got the bytes b'one'"),
        (IMAGES[:2], [1, "one"], r"labels: expected all of one kind; got 1 \(int\) and, as number 1, 'one' \(str\)"),
        (IMAGES[:2], [True, 2], "labels: expected all of one kind; got True"),
        (IMAGES[:2], "ab", "labels: expected a list, one per image; got str"),
        (IMAGES[:2], {"one", "two"}, "labels: expected a list, one per image; got set"),
        (IMAGES[:2], frozenset(["one", "two"]), "labels: expected a list, one per image; got frozenset"),
        (IMAGES[:2], {"one": 1, "two": 2}, "labels: expected a list, one per image; got dict"),
        (IMAGES[:2], np.array("one"), "labels: expected a list, one per image; got ndarray"),
        ({"a.png", "b.png"}, ["one", "two"], "images: expected a list of at least one image or image file; got {'"),
        (
            np.array("a.png"),
            ["one"],
            r"images: expected a list of at least one image or image file; got array\('a.png'",
        ),
        (IMAGES, np.eye(len(IMAGES)), r"labels: expected one name \(or number\) in every place; number 0, .*is \[1.0"),
        (IMAGES[:2], [["one"], ["two", "three"]], "labels: expected one name .* in every place; number 0, .*'one'"),
        (
            pd.DataFrame({"path": ["a", "b"]}),
            ["one", "two"],
            r"one column of .*; got a table .*table\['path'\]",
        ),
        (IMAGES[:2], ["one", "_"], "words in every name; got '_'"),
        (IMAGES[:2], ["red fox", "Red_fox"], "'Red_fox' and 'red fox'"),
        ([IMAGES[0], "no-such.png"], ["one", "two"], "no-such.png: expected an image.*no such file"),
    ],
)
def test_images_and_labels_that_cannot_work(tiny, images, labels, message):
    with pytest.raises(InputError, match=message) as caught:
        make(tiny).fit(images, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1], "ab", "class names: expected a list of names, in an order that stays; got 'ab'"),
        ([0, 1], [3, 4], r"class names: expected a list of texts; got \[3, 4\]"),
        ([0, 2], ["a", "b"], r"labels: expected numbers 0..1 .*got 2"),
        ([0, -1], ["a", "b"], r"labels: expected numbers 0..1 .*got -1"),
        (["a", "b"], ["a", "b"], r"labels: expected numbers 0..1 .*got 'a'"),
    ],
)
def test_class_lists_that_cannot_work(tiny, labels, names, message):
    fitted = make(tiny, method="zero-shot").fit(IMAGES[:2], ["a", "b"])
    for use in (make(tiny).fit, fitted.evaluate, fitted.set_classes(["a", "c"]).evaluate):
        with pytest.raises(InputError, match=message):
            use(IMAGES[:2], labels, names)


def test_one_class_name_is_none_to_learn_from(tiny):
    with pytest.raises(InputError, match="class names: expected at least two classes; got one class only, 'cat'"):
        make(tiny).fit(IMAGES[:2], [0, 0], ["cat"])


class Column:
    """As a shuffled pandas column: iteration goes by position, `[i]` by row number."""

    def __init__(self, values, rows):
        self._values, self._rows = list(values), list(rows)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return iter(self._values)

    def __getitem__(self, row):
        return self._values[self._rows.index(row)]


def test_images_count_by_position(tiny):
    column = Column(IMAGES, reversed(range(len(IMAGES))))
    of_list, of_column = (make(tiny, method="coop").fit(images, LABELS) for images in (IMAGES, column))
    assert torch.equal(of_list.model_.ctx, of_column.model_.ctx)
    assert np.array_equal(of_list.predict_proba(IMAGES), of_list.predict_proba(column))
    assert of_list.evaluate(IMAGES, LABELS) == of_list.evaluate(column, LABELS)


def test_evaluation_by_numbers_into_a_class_list(fitted, tiny):
    expected = fitted.evaluate(IMAGES, LABELS)
    for names in (CLASSES, ["three", "four", "one", "seven"]):
        assert fitted.evaluate(IMAGES, [names.index(label) for label in LABELS], names) == expected
    with pytest.raises(InputError, match=r"\('one', 'seven', 'three'\); got 'four'"):
        fitted.evaluate(OTHERS, [1, 1, 1], ["one", "four"])


def test_two_classes_of_one_name(tiny):
    """As ImageNet has them: told apart by number, not by name."""
    names = ["one", "seven", "seven", "three"]
    classifier = make(tiny, method="zero-shot").fit(IMAGES, [names.index(label) for label in LABELS], names)
    assert classifier.evaluate(IMAGES[6:12], [2] * 6, names).correct == 0  # of equal ones the first is predicted
    assert classifier.evaluate(IMAGES[6:12], [1] * 6, names).correct > 0
    with pytest.raises(InputError, match="got seven, which two classes of this model have"):
        classifier.evaluate(IMAGES, LABELS)
    assert classifier.evaluate(IMAGES[:6], LABELS[:6]).n == 6
    with pytest.raises(InputError, match="'seven' and 'seven'"):
        make(tiny, method="zero-shot").fit(IMAGES, LABELS).set_classes(names)
    assert classifier.set_classes(names, allow_equal=True).classes_.tolist() == names


def test_questions_that_a_fitted_one_cannot_answer(fitted):
    with pytest.raises(InputError, match=r"\('one', 'seven', 'three'\); got 'four'.*set_classes.*--folder-classes"):
        fitted.evaluate(OTHERS, ["four"] * 3)
    with pytest.raises(InputError, match="got 3 images and 1 labels"):
        fitted.evaluate(OTHERS, ["one"])
    with pytest.raises(InputError, match="a list of at least one image"):
        fitted.predict([])
    with pytest.raises(InputError, match="a list of at least one image"):
        fitted.predict("one.png")
    with pytest.raises(InputError, match="expected a list of names, in an order that stays; got 'cat,dog'"):
        fitted.set_classes("cat,dog")
    with pytest.raises(InputError, match="'cat' and 'Cat'"):
        fitted.set_classes(["cat", "Cat"])
    assert fitted.classes_.tolist() == fitted.model_.class_names == CLASSES


def test_class_specific_prompts_do_not_change_classes(tiny):
    classifier = make(tiny, method="coop", settings={"class_specific": True}).fit(IMAGES, LABELS)
    with pytest.raises(InputError, match="class_specific=False"):
        classifier.set_classes(["four", "five", "six"])


def test_a_long_class_name_is_named_with_its_tokens_and_the_limit(fitted):
    name = "very " * 100 + "long"
    with pytest.raises(InputError, match=r"expected a prompt of at most 77 tokens .*; got \d+"):
        fitted.set_classes(["cat", name])
    assert fitted.classes_.tolist() == CLASSES


def test_an_image_of_any_mode_and_shape(fitted):
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"):
        assert fitted.predict_proba([Image.new(mode, (3, 50))]).shape == (1, 3)


def test_half_precision_learns_and_predicts():
    clip = CLIP.load("tiny", device="cpu", dtype="bfloat16")
    classifier = make(clip).fit(IMAGES, LABELS)
    assert classifier.model_.ctx.dtype == torch.float32
    np.testing.assert_allclose(classifier.predict_proba(IMAGES).sum(axis=1), 1, atol=1e-6)


def test_score_refuses_labels_that_are_none_of_its_classes(tiny):
    images, labels = labelled(2)
    classifier = PromptClassifier(method="zero-shot", clip=tiny).fit(images, labels)
    assert classifier.score(images, labels) == np.mean(classifier.predict(images) == labels)
    with pytest.raises(
        InputError, match=r"labels: expected classes of this model \('one', 'seven', 'three'\); got 'zebra'"
    ):
        classifier.score(images[:2], ["zebra", "one"])
