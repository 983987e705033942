"""Sensitivity: which words and draws are tried, what is then learned and scored, and that it goes on where it was."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import NAMES, make_trial, write_dataset

from cocoop import Example, InputError, PromptClassifier, ZeroShot
from cocoop.data import PAPER_DATASETS, PLAIN_NAMES, read_paper_dataset, reworded, sample_lopsided, write_miniature
from cocoop.evaluation import evaluate
from cocoop.features import encode_pictures
from cocoop.protocols import Benchmark, Runner, narrowed, preset
from cocoop.protocols.sensitivity import TEMPLATES
from cocoop.results import read_config, read_record


def tried(dataset, method, **changes):
    plan = narrowed(preset("sensitivity", "offline"), [dataset], methods=(method,), seeds=(1,), **changes)
    return [(t.shots, t.varied) for t in plan.trials("sensitivity") if t.method == method]


def test_what_is_tried():
    assert tried("digits", "coop", shots=(1, 4)) == [(1, []), (4, []), (4, ["plain names"]), (4, ["lopsided draw"])]
    others = [f"template {template!r}" for template in TEMPLATES if template != "a photo of a {}."]
    words = [[], ["plain names"], *([template] for template in others)]
    assert tried("digits", "zero-shot") == [(0, of) for of in words]
    assert tried("digits", "zs-lp", shots=(4,)) == [*((4, of) for of in words), (4, ["lopsided draw"])]
    of_pets = tried("oxford_pets", "zero-shot")
    assert of_pets == [(0, []), *((0, [f"template {template!r}"]) for template in TEMPLATES)]
    assert tried("digits", "coop", shots=(1,)) == [(1, []), (1, ["plain names"])]  # one of each is never lopsided


def test_zero_shot_is_always_there_and_folders_differ():
    plan = narrowed(preset("sensitivity", "offline"), methods=("coop", "zs-lp"))
    trials = plan.trials("sensitivity")
    assert {trial.method for trial in trials} == {"zero-shot", "coop", "zs-lp"}
    assert len({trial.folder for trial in trials}) == len(trials)
    assert str(trials[1].folder) == "sensitivity/digits/zero-shot/plain-names/0-shots/seed-1"
    assert str(trials[0].folder) == "sensitivity/digits/zero-shot/0-shots/seed-1"


@pytest.mark.parametrize("name", [name for name in PLAIN_NAMES if name in PAPER_DATASETS])
def test_plain_names_are_those_of_the_annotations(tmp_path, name):
    """Read off the miniatures, in which the folders of the images or the lists of the classes have them."""
    write_miniature(name, tmp_path)
    dataset = read_paper_dataset(name, tmp_path)
    plain = reworded(dataset, "plain", None)
    assert plain.class_names != dataset.class_names and plain.template == dataset.template
    base = tmp_path / PAPER_DATASETS[name].folder
    if name in ("caltech101", "eurosat"):
        assert all(example.class_name == example.path.parent.name for example in plain.train)
    elif name == "sun397":
        lines = (base / "ClassName.txt").read_text().split()
        assert plain.class_names == [line.split("/", 2)[2] for line in lines]
    elif name == "ucf101":
        lines = (base / "ucfTrainTestlist" / "classInd.txt").read_text().splitlines()
        assert plain.class_names == [line.split()[1] for line in lines]
    else:
        assert all(name[-4:].isdecimal() for name in plain.class_names)  # "Acura RL Sedan 2012"
    for before, after in zip(dataset.test, plain.test, strict=True):
        assert (before.path, before.label) == (after.path, after.label)
        assert after.class_name == plain.class_names[after.label]


def test_data_without_plain_names_has_none(tmp_path):
    with pytest.raises(InputError, match=r"source: expected a data set with plain names \(caltech101, "):
        reworded(write_dataset(tmp_path, "source"), "plain", None)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.integers(1, 9), st.integers(0, 99))
def test_a_lopsided_draw_has_as_many_images_in_all(sizes, shots, seed):
    train = [Example(f"{label}-{n}", label, str(label)) for label, size in enumerate(sizes) for n in range(size)]
    picked = sample_lopsided(train, shots, seed)
    counts = Counter(example.label for example in picked)
    assert len(picked) == len(set(picked)) == sum(min(shots, size) for size in sizes)
    assert all(1 <= counts[label] <= size for label, size in enumerate(sizes))
    assert picked == sample_lopsided(train, shots, seed)


def test_how_lopsided_it_is():
    """Half of the classes below ln 2 of the mean, and e^-3 of them above three times the mean, as of an exponential."""
    train = [Example(f"{label}-{n}", label, "") for label in range(400) for n in range(300)]
    counts = sorted(Counter(e.label for e in sample_lopsided(train, 16, 1)).values())
    assert 9 <= counts[200] <= 13 and 8 <= sum(count > 48 for count in counts) <= 34


def test_words_and_draws_reach_what_is_learned_and_scored(tiny, tmp_path):
    dataset = replace(write_dataset(tmp_path, "digits", sorted(NAMES)), template="a photo of a {}.")
    runner = Runner(tiny, {"digits": dataset}, tmp_path / "out")
    features = encode_pictures(tiny, [e.path for e in dataset.test])
    labels = [e.label for e in dataset.test]

    def run(method, **changes):
        trial = replace(make_trial("few-shot", method), protocol="sensitivity", dataset="digits", **changes)
        trial = replace(trial, tests=(replace(trial.tests[0], dataset="digits"),))
        return trial, runner.run(trial)

    trials = []
    numerals = ["4", "1", "7", "3"]  # of four, one, seven, three
    for changes, model in (
        ({}, ZeroShot(tiny, sorted(NAMES), ["a photo of a {}."])),
        ({"names": "plain"}, ZeroShot(tiny, numerals, ["a photo of a {}."])),
        ({"template": "{}."}, ZeroShot(tiny, sorted(NAMES), ["{}."])),
    ):
        trial, folder = run("zero-shot", **changes)
        trials.append(trial)
        assert read_config(folder).class_names == model.class_names
        expected = evaluate(model, features, labels)
        assert read_record(folder).results["test"].accuracy == expected.accuracy
        assert read_record(folder).results["test"].expected_calibration_error == pytest.approx(
            expected.expected_calibration_error, abs=1e-4
        )
    trial, folder = run("coop", draw="lopsided", shots=3)
    trials.append(trial)
    picked = sample_lopsided(dataset.train, 3, 5)
    classifier = PromptClassifier("coop", tiny, shots=None, seed=5, epochs=2, batch_size=4, lr=0.1, augment=False)
    classifier.fit([e.path for e in picked], [e.label for e in picked], sorted(NAMES))
    assert len(picked) == 12 and Counter(e.label for e in picked) != Counter({k: 3 for k in range(4)})
    assert read_record(folder).results["test"].accuracy == evaluate(classifier.model_, features, labels).accuracy

    benchmark = Benchmark(trials, tmp_path / "out", "tiny", {"digits": dataset})
    assert benchmark.open_trials() == []  # all are done, and the same as asked for
    other = replace(trials[-1], draw="even")
    assert replace(benchmark, trials=[*trials, other]).open_trials() == [other]
