"""The four protocols against slow literal transcriptions of their definitions."""

import json
import random
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score
from small_data import NAMES, make_trial, write_datasets

from cocoop import CLIP, InputError, PromptClassifier, RunError, ZeroShot
from cocoop.classifier import Classifier
from cocoop.clip.sources.load import BUNDLED
from cocoop.data import Example, open_image, split_hash
from cocoop.features.ahead import read_pixels
from cocoop.protocols import Runner
from cocoop.results import read_json, read_run

METHODS = ["zero-shot", "coop", "cocoop"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return write_datasets(tmp_path_factory.mktemp("data"))


@pytest.fixture
def runner(tiny, datasets, tmp_path):
    return Runner(tiny, datasets, tmp_path)


def literal_pick(examples: list[Example], shots: int, seed: int) -> list[Example]:
    """The original: one stream over all classes."""
    groups = defaultdict(list)
    for example in examples:
        groups[example.label].append(example)
    stream = random.Random(seed)
    return [example for label in range(4) for example in stream.sample(groups[label], shots)]


def one_by_one(model, examples: list[Example], names: list[str]) -> list[int]:
    """The number of each image's class, an image at a time, with nothing but the model and its CLIP."""
    predicted = []
    for example in examples:
        features = model.clip.encode_images(model.clip.preprocess(open_image(example.path))[None])
        predicted.append(int(model(features)[0].argmax()))
    assert model.class_names == names
    return predicted


def check(folder, test: str, examples: list[Example], names: list[str], model) -> None:
    """A test's accuracy and predictions, image by image."""
    predicted = one_by_one(model, examples, names)
    labels = [names.index(example.class_name) for example in examples]
    stored = load_file(folder / "predictions.safetensors")
    assert stored[f"{test}/predicted"].tolist() == predicted
    assert stored[f"{test}/label"].tolist() == labels
    assert stored[f"{test}/confidence"].dtype == np.float32
    results = read_json(folder / "record.json")["results"][test]
    assert results["n"] == len(examples)
    assert results["accuracy"] == 100 * sum(map(int.__eq__, predicted, labels)) / len(labels)
    assert len(results["mistakes"]) == sum(map(int.__ne__, predicted, labels))


def fit(clip: CLIP, method: str, picked: list[Example], names: list[str]) -> PromptClassifier:
    """The same training without any protocol."""
    settings = {} if method == "zero-shot" else {"epochs": 2, "batch_size": 4, "lr": 0.1, "augment": False}
    classifier = PromptClassifier(method, clip, shots=None, seed=5, **settings)
    return classifier.fit([e.path for e in picked], [names.index(e.class_name) for e in picked], names)


@pytest.mark.parametrize("method", METHODS)
def test_base_to_new(tiny, runner, datasets, method):
    folder = runner.run(make_trial("base-to-new", method))
    source = datasets["source"]
    base = [e for e in literal_pick(source.train, 3, 5) if e.label in (0, 1)]
    classifier = fit(tiny, method, base, NAMES[:2])
    learned = read_run(folder).tensors
    assert learned.keys() == classifier.model_.state_dict().keys()
    assert all(np.array_equal(learned[n], t.numpy()) for n, t in classifier.model_.state_dict().items())
    for half, names in (("base", NAMES[:2]), ("new", NAMES[2:])):
        examples = [e for e in source.test if e.class_name in names]
        assert len(examples) == 6
        check(folder, half, examples, names, classifier.set_classes(names).model_)
    record = read_json(folder / "record.json")
    assert (record["classes"], record["training_images"]) == (2, 0 if method == "zero-shot" else 6)
    check_together(folder, source.test, classifier.set_classes(NAMES).model_)


def check_together(folder: Path, examples: list[Example], model) -> None:
    stored, together = load_file(folder / "predictions.safetensors"), read_json(folder / "record.json")["together"]
    predicted, labels = one_by_one(model, examples, NAMES), [example.label for example in examples]
    assert (stored["together/predicted"].tolist(), stored["together/label"].tolist()) == (predicted, labels)
    assert (together["base_images"], together["new_images"]) == (6, 6)
    assert together["accuracy"] == pytest.approx(100 * sum(map(int.__eq__, predicted, labels)) / 12)
    called = [(label < 2, number < 2) for label, number in zip(labels, predicted, strict=True)]
    assert together["base_called_new"] == pytest.approx(100 * called.count((True, False)) / 6)
    surest = stored["together/base_score"] == stored["together/confidence"]
    assert (surest == (stored["together/predicted"] < 2)).all()
    # All that is told of pairs follows from what is kept: the halves' own tests are the classifiers of the halves.
    of_base, of_new = np.split(stored["together/base_score"], 2)
    right = {half: stored[f"{half}/label"] == stored[f"{half}/predicted"] for half in ("base", "new")}
    assert together["auroc"] == pytest.approx(100 * roc_auc_score([1] * 6 + [0] * 6, [*of_base, *of_new]))
    pairs = [
        g and h and ours > theirs
        for g, ours in zip(right["base"], of_base, strict=True)
        for h, theirs in zip(right["new"], of_new, strict=True)
    ]
    assert together["open_world_auc"] == pytest.approx(100 * np.mean(pairs))


@pytest.mark.parametrize("protocol", ["cross-dataset", "domain-generalization"])
@pytest.mark.parametrize("method", METHODS)
def test_transfer(tiny, runner, datasets, protocol, method):
    folder = runner.run(make_trial(protocol, method))
    classifier = fit(tiny, method, literal_pick(datasets["source"].train, 3, 5), NAMES)
    for name, names in (("source", NAMES), ("other", ["one", "three", "four"])):
        model = classifier.set_classes(names).model_
        if method == "zero-shot":  # every data set has its own prompt
            template = {"source": "a photo of a {}.", "other": "the number {}."}[name]
            model = ZeroShot(tiny, names, [template])
        check(folder, name, datasets[name].test, names, model)
    assert {test: result["dataset"] for test, result in read_json(folder / "record.json")["results"].items()} == {
        "source": "source",
        "other": "other",
    }


@pytest.mark.parametrize("method", METHODS)
def test_few_shot(tiny, runner, datasets, method):
    folder = runner.run(make_trial("few-shot", method, shots=2))
    classifier = fit(tiny, method, literal_pick(datasets["source"].train, 2, 5), NAMES)
    check(folder, "test", datasets["source"].test, NAMES, classifier.model_)


class Calibrated(ZeroShot):
    """Hand-written prompts whose logits are multiplied by what was learned."""

    def __init__(self, clip, class_names, **others):
        super().__init__(clip, class_names, **others)
        self.factor = torch.nn.Parameter(torch.ones(()))

    def forward(self, image_features):
        return self.factor * super().forward(image_features)


def test_what_was_learned_stays_with_another_data_sets_template(tiny, runner, datasets):
    model = Calibrated(tiny, NAMES)
    model.factor.data.fill_(2)
    there = runner.fitted_to(model, datasets["other"])
    assert there.settings == {"templates": ["the number {}."]} and there.class_names == datasets["other"].class_names
    images = tiny.encode_images(torch.zeros(1, 3, tiny.preprocess.size, tiny.preprocess.size))
    expected = ZeroShot(tiny, there.class_names, "the number {}.")(images) * 2
    torch.testing.assert_close(there(images), expected, rtol=0, atol=1e-4)


def test_few_shot_from_random_vectors(runner):
    folder = runner.run(make_trial("few-shot", "coop", context=None, context_length=3))
    assert read_run(folder).tensors["ctx"].shape[0] == 3


@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("given", [{}, {"augment": "auto"}], ids=str)
def test_what_is_not_settled_the_files_of_the_clip_say(runner, monkeypatch, says, given):
    monkeypatch.setattr(runner.clip, "augment", says)
    settings = {"epochs": 2, "batch_size": 4, "lr": 0.1}
    trial = replace(make_trial("few-shot", "coop"), settings=settings | given)
    asked = read_run(runner.run(trial))
    assert asked.record.learning.augment is says
    literal = read_run(runner.run(replace(trial, protocol="cross-dataset", settings=settings | {"augment": says})))
    assert literal.record.prompt_from is None
    assert np.array_equal(asked.tensors["ctx"], literal.tensors["ctx"])


def test_each_data_set_is_opened_in_its_own_way(tiny, datasets, tmp_path, monkeypatch):
    """Whatever was learned from: the papers' as the original opens them, and a user's own not."""
    opened = set()
    monkeypatch.setattr(
        "cocoop.features.pixels.open_image",
        lambda path, content, exif: opened.add((Path(path), exif)) or open_image(path, content, exif),
    )
    datasets = {**datasets, "source": replace(datasets["source"], exif="original")}
    trial = make_trial("cross-dataset", "coop")
    run = read_run(Runner(tiny, datasets, tmp_path).run(trial))
    assert run.config.parameters.exif == "original"
    for test in trial.tests:
        ways = {exif for example in datasets[test.dataset].test for path, exif in opened if path == example.path}
        assert ways == {run.record.results[test.name].exif} == {datasets[test.dataset].exif}
    assert {datasets[test.dataset].exif for test in trial.tests} == {"original", "apply"}
    learned = {example.path for example in datasets["source"].train}
    assert {exif for path, exif in opened if path in learned} == {"original"}


def test_the_record_says_what_was_done(tiny, runner, datasets):
    trial = make_trial("base-to-new", "cocoop")
    folder = runner.run(trial)
    assert folder == runner.out / "base-to-new/source/cocoop/3-shots/seed-5"
    record = read_json(folder / "record.json")
    picked = [e for e in literal_pick(datasets["source"].train, 3, 5) if e.label in (0, 1)]
    expected = {
        "protocol": "base-to-new",
        "dataset": "source",
        "method": "cocoop",
        "shots": 3,
        "seed": 5,
        "clip": "tiny",
        "clip_fingerprint": tiny.fingerprint,
        "tokenizer": None,
        "dtype": "float32",
        "device": "cpu",
        "split_hash": split_hash(picked, datasets["source"].image_root),
        "trial": json.loads(json.dumps(asdict(trial))),
    }
    assert {name: record[name] for name in expected} == expected
    assert record["peak_memory_mb"] > 50 and record["prompt_from"] is None


@pytest.fixture
def decoded(monkeypatch):
    """How many looks at images the image tower was given, batch by batch, without what fills batches up."""
    counts: list[int] = []

    def counting(*args):
        for read in read_pixels(*args):
            counts.append(len(read.pixels))
            yield read

    monkeypatch.setattr("cocoop.features.encode.read_pixels", counting)
    return counts


def test_images_are_encoded_once_for_all_trials(tiny, runner, datasets, decoded):
    seen: set[Path] = set()
    for seed in (1, 2):
        decoded.clear()
        runner.run(make_trial("base-to-new", "coop", shots=2, seed=seed))
        picked = {e.path for e in literal_pick(datasets["source"].train, 2, seed) if e.label in (0, 1)}
        # The shots of two base classes, of which the second seed picks some again; all test images.
        assert sum(decoded) == len(picked - seen) + (12 if seed == 1 else 0)
        seen |= picked
    decoded.clear()
    # Another process, and another trial on the same images.
    Runner(tiny, datasets, runner.out).run(make_trial("few-shot", "zero-shot"))
    Runner(tiny, datasets, runner.out).run(make_trial("base-to-new", "cocoop", shots=2, seed=2))
    assert sum(decoded) == 0


def test_views_are_shared_by_methods_and_seeds(runner, datasets, decoded):
    """3 of 5 images of each class: what a method or a seed has seen already is not encoded again."""
    trials = [
        make_trial("few-shot", method, seed=seed, augment=True, view_seed=1, epochs=epochs)
        for method, epochs in (("coop", 3), ("cocoop", 2))
        for seed in (1, 2)
    ]
    runner.run(make_trial("few-shot", "zero-shot"))  # the test images
    decoded.clear()
    for trial in trials:
        runner.run(trial)
    picked = {e.path for seed in (1, 2) for e in literal_pick(datasets["source"].train, 3, seed)}
    assert sum(decoded) == 3 * len(picked) < 2 * 3 * 12


def test_a_store_changes_no_bit(tiny, datasets, tmp_path, monkeypatch):
    """Whatever is there already: nothing, some of the views, or all of them."""
    trial = make_trial("few-shot", "cocoop", augment=True, view_seed=1, batch_size=1)
    runs = []
    Runner(tiny, datasets, tmp_path / "part", tmp_path / "features").run(replace(trial, seed=6))
    for name in ("some", "all"):
        runs.append(Runner(tiny, datasets, tmp_path / name, tmp_path / "features").run(trial))
    runs.append(Runner(tiny, datasets, tmp_path / "none").run(trial))
    alone = PromptClassifier("cocoop", tiny, shots=None, seed=5, **trial.settings)
    picked = literal_pick(datasets["source"].train, 3, 5)
    alone.fit([e.path for e in picked], [e.label for e in picked], NAMES)
    expected = {name: tensor.numpy() for name, tensor in alone.model_.state_dict().items()}
    for folder in runs:
        learned = read_run(folder).tensors
        assert all(np.array_equal(learned[name], value) for name, value in expected.items())
        assert (folder / "predictions.safetensors").read_bytes() == (runs[0] / "predictions.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_run(runner, tmp_path):
    trial = make_trial("base-to-new", "cocoop", seed=0, augment=True)
    one = runner.run(trial)
    runner.out = tmp_path / "again"
    other = runner.run(trial)
    for name in ("prompt.safetensors", "predictions.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_prompt_that_another_protocol_learned_is_taken_from_there(runner, monkeypatch, tmp_path):
    trained = runner.run(make_trial("cross-dataset", "cocoop"))
    fits = []
    original = Classifier.fit
    monkeypatch.setattr(
        Classifier, "fit", lambda self, *args, **more: fits.append(self) or original(self, *args, **more)
    )
    taken = runner.run(make_trial("few-shot", "cocoop"))
    assert not fits
    record, source = read_json(taken / "record.json"), read_json(trained / "record.json")
    assert record["prompt_from"] == "cross-dataset/source/cocoop/3-shots/seed-5"
    assert record["seconds"] == source["seconds"] and record["peak_memory_mb"] == source["peak_memory_mb"]
    # Equal to training again, where there is nothing to take it from.
    runner.out = tmp_path / "alone"
    again = runner.run(make_trial("few-shot", "cocoop"))
    assert fits and read_json(again / "record.json")["prompt_from"] is None
    for name in ("prompt.safetensors", "predictions.safetensors", "config.json"):
        assert (taken / name).read_bytes() == (again / name).read_bytes()
    records = [read_json(folder / "record.json") for folder in (taken, again)]
    for record in records:
        for name in ("seconds", "peak_memory_mb", "prompt_from"):
            record.pop(name, None)
    assert records[0] == records[1]


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 6},
        {"shots": 2},
        {"lr": 0.2},
        {"context": None, "context_length": 2},
    ],
    ids=str,
)
def test_another_training_is_not_taken_for_the_same(runner, other):
    runner.run(make_trial("cross-dataset", "coop"))
    folder = runner.run(make_trial("few-shot", "coop", **other))
    assert read_json(folder / "record.json")["prompt_from"] is None


def test_a_prompt_of_another_tokenizer_is_not_taken(tiny, datasets, tmp_path):
    words = str(BUNDLED["tiny"])
    named = CLIP.load("tiny", words, device="cpu")
    assert named.fingerprint == tiny.fingerprint
    folder = Runner(tiny, datasets, tmp_path).run(make_trial("cross-dataset", "coop"))
    assert read_json(folder / "record.json")["tokenizer"] is None
    record = read_json(Runner(named, datasets, tmp_path).run(make_trial("few-shot", "coop")) / "record.json")
    assert record["tokenizer"] == words and record["prompt_from"] is None
    taken = Runner(named, datasets, tmp_path).run(make_trial("domain-generalization", "coop"))
    assert read_json(taken / "record.json")["prompt_from"].startswith("few-shot/")


def test_other_images_at_the_same_place_are_not_taken_for_the_same(tiny, tmp_path):
    datasets = write_datasets(tmp_path / "data")
    runner = Runner(tiny, datasets, tmp_path / "out")
    runner.run(make_trial("cross-dataset", "coop"))
    for example in datasets["source"].train:
        open_image(example.path).rotate(180).save(example.path)
    folder = runner.run(make_trial("few-shot", "coop"))
    assert read_json(folder / "record.json")["prompt_from"] is None


def test_a_folder_that_is_taken_is_refused_before_any_training(runner, monkeypatch):
    trial = make_trial("few-shot", "coop")
    (runner.out / trial.folder).mkdir(parents=True)
    (runner.out / trial.folder / "mine.txt").touch()
    monkeypatch.setattr(Classifier, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(InputError, match="expected a new or empty folder"):
        runner.run(trial)


def test_a_damaged_test_image_is_found_before_any_training(tiny, tmp_path, monkeypatch):
    datasets = write_datasets(tmp_path / "data")
    damaged = datasets["other"].test[-1].path
    damaged.write_bytes(b"no image")
    monkeypatch.setattr(Classifier, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(InputError, match=str(damaged)):
        Runner(tiny, datasets, tmp_path / "out").run(make_trial("cross-dataset", "coop"))


def test_a_half_without_test_images_is_named_before_any_training(tiny, datasets, tmp_path, monkeypatch):
    source = datasets["source"]
    base_only = replace(source, test=[example for example in source.test if example.label < 2])
    monkeypatch.setattr(Classifier, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(InputError, match="source: expected test images of the new classes; got none"):
        Runner(tiny, {"source": base_only}, tmp_path).run(make_trial("base-to-new", "coop"))


def test_a_damaged_training_image_is_named(tiny, tmp_path):
    datasets = write_datasets(tmp_path / "data")
    damaged = literal_pick(datasets["source"].train, 3, 5)[0].path
    damaged.write_bytes(b"no image")
    with pytest.raises(InputError, match=str(damaged)):
        Runner(tiny, datasets, tmp_path / "out").run(make_trial("few-shot", "coop"))
    assert not list((tmp_path / "out").rglob("record.json"))


def test_the_global_random_state_is_left_alone(runner):
    torch.manual_seed(3)
    random.seed(3)
    before = torch.get_rng_state(), random.getstate()
    runner.run(replace(make_trial("few-shot", "coop"), seed=9))
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]


def test_what_a_trial_learned_is_kept_when_it_cannot_be_written(runner, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cocoop.results.run_folder.write_jsonl", full)
    trial = make_trial("base-to-new", "coop", shots=2, seed=9)
    with pytest.raises(RunError, match=r"No space left .*learned tensors are in .*\.learned\.safetensors\.") as caught:
        runner.run(trial)
    kept = Path(str(caught.value).rpartition(" are in ")[2].partition(". ")[0].rstrip("."))
    assert kept.parent == (runner.out / trial.folder).parent and "ctx" in load_file(kept)
