"""Labels and class names of every kind that users have: numbered as they should be, or refused in one line."""

import datetime
import json
import unicodedata
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from own_photos import labelled

from cocoop import CoOp, InputError, PromptClassifier, ZeroShot
from cocoop.data import Example, class_names, read_dataset
from cocoop.labels import number_labels

IMAGES, LABELS = labelled(2)
NUMBERS = [1, 1, 7, 7, 3, 3]

COMPOSED = "café"
APART = unicodedata.normalize("NFD", COMPOSED)


class Digit(IntEnum):
    one, seven, three = 1, 7, 3


class Name(StrEnum):
    one, seven, three = "one", "seven", "three"


def fit(tiny, labels, names=None) -> PromptClassifier:
    return PromptClassifier(method="zero-shot", clip=tiny).fit(IMAGES, labels, names)


@pytest.mark.parametrize(
    ("labels", "plain"),
    [
        (tuple(LABELS), LABELS),
        (np.array(LABELS), LABELS),
        (np.array(LABELS, dtype=object), LABELS),
        (pd.Series(LABELS, index=[9, 4, 0, 1, 2, 3]), LABELS),
        (pd.Series(LABELS, dtype="category"), LABELS),
        (pd.Categorical(LABELS, categories=["three", "seven", "one", "unused"]), LABELS),
        ([Name[name] for name in LABELS], LABELS),
        (np.array(NUMBERS), NUMBERS),
        (torch.tensor(NUMBERS), NUMBERS),
        (list(torch.tensor(NUMBERS)), NUMBERS),
        ([np.int8(number) for number in NUMBERS], NUMBERS),
        ([Digit(number) for number in NUMBERS], NUMBERS),
        (pd.Series(NUMBERS, dtype="Int64"), NUMBERS),
        ([number / 2 for number in NUMBERS], [number / 2 for number in NUMBERS]),
        (np.array(NUMBERS) > 2, [False, False, True, True, True, True]),
    ],
    ids=lambda value: f"{type(value).__name__} of {type(next(iter(value))).__name__}",
)
def test_labels_of_a_kind_are_the_plain_ones(tiny, labels, plain, tmp_path):
    classifier, expected = fit(tiny, labels), fit(tiny, plain)
    assert classifier.classes_.tolist() == expected.classes_.tolist() == sorted(set(plain))
    assert [type(value) for value in classifier.classes_.tolist()] == [type(plain[0])] * len(set(plain))
    assert classifier.evaluate(IMAGES, labels) == expected.evaluate(IMAGES, plain)
    again = PromptClassifier.load(classifier.save(tmp_path / "run"), tiny)
    assert again.evaluate(IMAGES, labels) == expected.evaluate(IMAGES, plain)
    assert again.predict(IMAGES).tolist() == expected.predict(IMAGES).tolist()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (datetime.date(2020, 1, 2), "expected texts or numbers.*got datetime.date.*Give str"),
        (pd.Timestamp("2020-01-02"), "expected texts or numbers.*Timestamp.*Give str"),
        (Decimal("1.5"), "expected texts or numbers.*Decimal.*Give str"),
        (Fraction(1, 2), "expected texts or numbers.*Fraction.*Give str"),
        (1j, "expected texts or numbers.*complex.*Give str"),
        (np.datetime64("NaT"), "is missing"),
        (Decimal("nan"), "is missing"),
        (torch.tensor(float("nan")), "is missing"),
        (torch.tensor([1, 2]), "expected one name"),
        (np.datetime64("2020-01-02", "ns"), "expected texts or numbers.*datetime64.*Give str"),
        (np.timedelta64(5, "ns"), "expected texts or numbers.*timedelta64.*Give str"),
        (np.datetime64("NaT", "ns"), "is missing"),
        (float("inf"), "expected texts or numbers.*got inf"),
        (np.float32("-inf"), "expected texts or numbers.*got -inf"),
        (2**63, "expected texts or numbers.*got 9223372036854775808"),
        (-(2**63) - 1, "expected texts or numbers.*got -9223372036854775809"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_labels_that_no_run_folder_could_keep(tiny, label, message):
    """They were learned from, and `save` failed after the training; or they became classes such as "NaT"."""
    for use in (lambda labels: fit(tiny, labels), fit(tiny, LABELS).set_classes):
        with pytest.raises(InputError, match=message) as caught:
            use([label, *LABELS[1:]])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(6).astype("datetime64[ns]"),
        pd.Series(np.arange(6).astype("timedelta64[ns]")),
        np.arange(6).astype("m8[D]"),
    ],
    ids=lambda value: str(value.dtype),
)
def test_arrays_of_times_are_no_labels(tiny, labels):
    """Their nanoseconds became classes."""
    for use in (lambda labels: fit(tiny, labels), fit(tiny, LABELS).set_classes):
        with pytest.raises(InputError, match=r"expected texts or numbers.*Give str"):
            use(labels)


def test_the_largest_integers_are_classes(tiny):
    labels = [-(2**63), 2**63 - 1] * 3
    assert fit(tiny, labels).classes_.tolist() == sorted(set(labels))


def test_a_name_with_nul_is_no_class(tiny):
    """An array of texts drops it at the end: "one" and "one\0" were one class."""
    fitted = fit(tiny, LABELS)
    uses = [fitted.set_classes, lambda names: fit(tiny, names * 2), lambda names: fit(tiny, [0, 1, 2] * 2, names)]
    for use in uses:
        with pytest.raises(InputError, match=r"expected Unicode text in every name; got 'one\\x00'.*without NUL"):
            use(["one", "one\0", "two"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0.0, 1.7, 0.9]), "got 0.0"),
        ([0.0, 1.0, 2.0], "got 0.0"),
        ([True, False, True], "got True"),
        (np.array([True, False, True]), "got True"),
        (["0", "1", "2"], "got '0'"),
        ([0, 1, 3], "got 3"),
        ([0, -1, 2], "got -1"),
    ],
    ids=lambda value: str(value),
)
def test_numbers_of_classes_are_integers(tiny, labels, message):
    """Others were cut off to integers."""
    names = ["one", "seven", "three"]
    fitted = fit(tiny, LABELS)
    for use in (lambda: fitted.evaluate(IMAGES[:3], labels, names), lambda: fit(tiny, [*labels, 0, 1, 2], names)):
        with pytest.raises(InputError, match=rf"labels: expected (numbers 0\.\.2 .*{message}|all of one kind)"):
            use()


def test_numbers_of_classes_in_what_users_have(tiny):
    names, numbers = ["one", "seven", "three"], [0, 0, 1, 1, 2, 2]
    expected = fit(tiny, numbers, names)
    for given in (np.array(numbers, dtype=np.uint8), torch.tensor(numbers), pd.Series(numbers, dtype="Int64")):
        assert expected.evaluate(IMAGES, given, names) == expected.evaluate(IMAGES, numbers, names)


def test_numbers_into_names_of_classes_that_are_numbers(tiny):
    """The model's are integers, the data's names texts, in another order."""
    fitted = fit(tiny, np.array([3, 3, 7, 7, 5, 5]))
    assert fitted.classes_.tolist() == [3, 5, 7]
    by_name = fitted.evaluate(IMAGES, [1, 1, 0, 0, 2, 2], ["7", "3", "5"])
    assert by_name == fitted.evaluate(IMAGES, [3, 3, 7, 7, 5, 5])
    with pytest.raises(InputError, match=r"expected classes of this model \(3, 5, 7\); got '3', '5', '7'\."):
        fitted.evaluate(IMAGES, ["3", "3", "7", "7", "5", "5"])


def test_names_are_told_apart_as_the_tokenizer_does(tiny):
    assert tiny.token_ids("Masse") != tiny.token_ids("Maße") and tiny.token_ids("Maße") == tiny.token_ids("maße")
    assert fit(tiny, ["Masse", "Maße"] * 3).classes_.tolist() == ["Masse", "Maße"]
    with pytest.raises(InputError, match="'Maße' and 'maße', which read the same in a prompt"):
        fit(tiny, ["Maße", "maße"] * 3)


@pytest.mark.parametrize("label", [None, float("nan"), pd.NA, b"one"], ids=repr)
def test_pairs_need_a_label_each(label, tmp_path):
    with pytest.raises(InputError, match=r"labels: expected .*(missing|Decode)"):
        read_dataset([(IMAGES[0], "one"), (IMAGES[1], label)], tmp_path)


@pytest.mark.parametrize(
    ("classes", "labels", "numbers"),
    [
        (["red circle", "Dog"], ["dog", "red_circle"], [1, 0]),
        (["cat", "Cat"], ["Cat", "cat"], [1, 0]),  # as spelled, where two read the same
        (["caf\u00e9", "tea"], ["cafe\u0301"], [0]),
    ],
)
def test_names_that_read_the_same_are_one_class(classes, labels, numbers):
    assert number_labels(np.asarray(classes), labels) == numbers
    own = sorted(set(labels))
    assert number_labels(np.asarray(classes), [own.index(label) for label in labels], own) == numbers


def test_a_name_that_reads_as_two_classes():
    with pytest.raises(InputError, match="got CAT, which two classes of this model have"):
        number_labels(np.asarray(["cat", "Cat"]), ["CAT"])


# Lists of class names


@pytest.mark.parametrize(
    "given",
    [
        lambda names: tuple(names),
        lambda names: dict.fromkeys(names).keys(),
        lambda names: (name for name in names),
        lambda names: np.array(names),
        lambda names: pd.Series(names, index=[5, 6, 7]),
    ],
)
def test_class_names_in_anything_that_has_an_order(tiny, given):
    names = ["seven", "one", "three"]  # not in the order of the alphabet
    numbers = [names.index(label) for label in LABELS]
    expected = fit(tiny, numbers, names)
    assert fit(tiny, numbers, given(names)).predict(IMAGES).tolist() == expected.predict(IMAGES).tolist()
    assert expected.evaluate(IMAGES, numbers, given(names)) == expected.evaluate(IMAGES, numbers, names)
    swapped = fit(tiny, LABELS).set_classes(given(names))
    assert swapped.classes_.tolist() == names
    assert np.array_equal(swapped.predict_proba(IMAGES), expected.predict_proba(IMAGES))
    for method in (ZeroShot, CoOp):
        assert method(tiny, given(names)).class_names == names
        assert method(tiny, ["a"]).set_classes(given(names)).class_names == names
    assert CoOp(tiny, given(names), class_specific=True).ctx.shape[0] == 3


def test_numbers_as_new_classes(tiny):
    swapped = fit(tiny, LABELS).set_classes(np.array([10, 20]))
    assert swapped.classes_.tolist() == [10, 20] and swapped.model_.class_names == ["10", "20"]
    assert set(swapped.predict(IMAGES).tolist()) <= {10, 20}


@pytest.mark.parametrize(
    "given", [{"one", "two"}, frozenset({"one", "two"}), "one", 5, None, b"one"], ids=lambda given: type(given).__name__
)
def test_what_is_no_list_of_class_names(tiny, given):
    fitted = fit(tiny, LABELS)
    uses = [fitted.set_classes, fitted.model_.set_classes, lambda names: ZeroShot(tiny, names)]
    if given is not None:
        uses += [lambda names: fit(tiny, [0, 1] * 3, names), lambda names: fitted.evaluate(IMAGES, [0, 1] * 3, names)]
    for use in uses:
        with pytest.raises(InputError, match="class names: expected a list of names, in an order that stays"):
            use(given)
    assert fitted.classes_.tolist() == sorted(set(LABELS))


def test_a_method_takes_texts_alone(tiny):
    with pytest.raises(InputError, match=r"class names: expected a list of texts; got \[3, 4\]"):
        ZeroShot(tiny, [3, 4])


# One name, two spellings


def test_two_spellings_are_one_class_in_fit_and_evaluate(tiny):
    labels = [COMPOSED, APART, COMPOSED, "tea", "tea", APART]
    classifier = fit(tiny, labels)
    assert classifier.classes_.tolist() == [COMPOSED, "tea"]
    for spelled in (COMPOSED, APART):
        metrics = classifier.evaluate(IMAGES, [spelled] * 6)
        assert metrics.correct == classifier.predict(IMAGES).tolist().count(COMPOSED)
    assert fit(tiny, [0, 1] * 3, [APART, "tea"]).classes_.tolist() == [COMPOSED, "tea"]


def test_a_run_that_was_saved_with_the_other_spelling(tiny, tmp_path):
    folder = fit(tiny, [COMPOSED, "tea"] * 3).save(tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["classes"] = config["class_names"] = [APART, "tea"]  # as it was written before there was one spelling
    (folder / "config.json").write_text(json.dumps(config))
    again = PromptClassifier.load(folder, tiny)
    assert again.evaluate(IMAGES, [COMPOSED] * 6) == again.evaluate(IMAGES, [APART] * 6)
    assert again.evaluate(IMAGES, [0] * 6, [COMPOSED, "tea"]).n == 6


def test_two_spellings_are_equal_among_new_classes(tiny):
    fitted = fit(tiny, LABELS)
    with pytest.raises(InputError, match="read the same in a prompt"):
        fitted.set_classes([COMPOSED, APART])
    assert fitted.set_classes([APART, "tea"]).classes_.tolist() == [COMPOSED, "tea"]


def test_two_spellings_are_one_class_in_folders(tmp_path):
    for number, name in enumerate((COMPOSED, APART, "tea", "zoo")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / f"{number}.png").touch()
    dataset = read_dataset(tmp_path / "photos")
    # In Unicode's order of the one spelling: "cafe\u0301" would come before it.
    assert dataset.class_names == [COMPOSED, "tea", "zoo"]
    assert sorted((e.path.name, e.class_name) for e in dataset.train) == [
        ("0.png", COMPOSED),
        ("1.png", COMPOSED),
        ("2.png", "tea"),
        ("3.png", "zoo"),
    ]


def test_splits_that_spell_a_class_in_two_ways(tmp_path):
    for split, name in (("train", COMPOSED), ("test", APART)):
        for label in (name, "tea"):
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / split / label / f"{split}.png").touch()
    lines = [f"{split}/{name}/{split}.png,{name},{split}" for split, name in (("train", COMPOSED), ("test", APART))]
    lines += [f"{split}/tea/{split}.png,tea,{split}" for split in ("train", "test")]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *lines]), encoding="utf-8")
    content = {
        split: [[f"{split}/{name}/{split}.png", 0, name], [f"{split}/tea/{split}.png", 1, "tea"]]
        for split, name in (("train", COMPOSED), ("test", APART))
    }
    (tmp_path / "split.json").write_text(json.dumps({**content, "val": []}))
    (tmp_path / "folder").mkdir()
    for split in content:
        (tmp_path / split).rename(tmp_path / "folder" / split)
        (tmp_path / split).symlink_to(tmp_path / "folder" / split)
    for source in ("folder", "list.csv", "split.json"):
        dataset = read_dataset(tmp_path / source)
        assert dataset.class_names == [COMPOSED, "tea"], source
        for split in (dataset.train, dataset.test):
            assert [(e.label, e.class_name) for e in split] == [(0, COMPOSED), (1, "tea")], source


def test_two_spellings_in_examples_and_pairs(tmp_path):
    examples = [Example(tmp_path / "a.png", 0, APART), Example(tmp_path / "b.png", 0, COMPOSED)]
    assert class_names(examples) == [COMPOSED]
    pairs = [(IMAGES[0], APART), (IMAGES[1], COMPOSED), (IMAGES[2], "tea")]
    assert read_dataset(pairs, tmp_path).class_names == [COMPOSED, "tea"]
