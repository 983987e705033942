"""Properties of the three functions that pick and divide examples, over lists of any make."""

import random
from collections import Counter
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cocoop.data import Example, base_to_new, few_shot_indices, hold_out, random_split, sample_few_shot
from cocoop.errors import InputError

LABELS = st.lists(st.integers(0, 9), max_size=60)
SEEDS = st.integers(0, 2**32)


def labelled(labels: list[int], folder: str = "train") -> list[Example]:
    """One example per label; every path differs."""
    return [Example(Path(folder, f"{i}.jpg"), label, f"class {label}") for i, label in enumerate(labels)]


def originals_picks(train, val, shots, seed):
    """The original's procedure on Python's global stream, spelled out over (index, label) pairs."""
    random.seed(seed)
    picks = []
    for examples, count in ((train, shots), (val, min(shots, 4))):
        order = list(dict.fromkeys(e.label for e in examples))
        picked = []
        for label in order:
            items = [e for e in examples if e.label == label]
            picked.extend(random.sample(items, count) if len(items) >= count else items)
        picks.append(picked)
    return tuple(picks)


@given(LABELS, LABELS, st.integers(1, 20), SEEDS)
def test_few_shot_equals_the_global_stream_and_leaves_it_alone(train_labels, val_labels, shots, seed):
    train, val = labelled(train_labels), labelled(val_labels, "val")
    random.seed(123)
    before = random.getstate()
    picked = sample_few_shot(train, val, shots, seed)
    assert random.getstate() == before
    assert picked == sample_few_shot(train, val, shots, seed)
    assert picked == originals_picks(train, val, shots, seed)


@given(LABELS, LABELS, st.integers(1, 20), SEEDS)
def test_few_shot_counts(train_labels, val_labels, shots, seed):
    train, val = labelled(train_labels), labelled(val_labels, "val")
    for given_, picked, count in zip(
        (train, val), sample_few_shot(train, val, shots, seed), (shots, min(shots, 4)), strict=True
    ):
        assert len(set(picked)) == len(picked) and set(picked) <= set(given_)
        have = Counter(e.label for e in given_)
        assert Counter(e.label for e in picked) == {label: min(n, count) for label, n in have.items()}


@given(LABELS, st.integers(1, 20), SEEDS)
def test_indices_are_the_training_picks(labels, shots, seed):
    train = labelled(labels)
    picked, _ = sample_few_shot(train, train, shots, seed)
    assert [train[i] for i in few_shot_indices(labels, shots, seed)] == picked


def test_a_seed_may_be_an_integer_of_numpy():
    train = labelled([0, 1] * 20)
    for seed in (np.int64(3), np.uint8(3)):
        assert sample_few_shot(train, [], 4, seed) == sample_few_shot(train, [], 4, 3)
        assert few_shot_indices([0, 1] * 20, 4, seed) == few_shot_indices([0, 1] * 20, 4, 3)


def test_seed_0_is_a_seed():
    train = labelled([0] * 100)
    assert sample_few_shot(train, [], 16, 0) == sample_few_shot(train, [], 16, 0)
    assert sample_few_shot(train, [], 16, 0) != sample_few_shot(train, [], 16, 1)


@pytest.mark.parametrize("shots", [0, -1])
def test_few_shot_refuses_no_shots(shots):
    with pytest.raises(InputError, match=f"shots: expected 1 or more.*got {shots}"):
        sample_few_shot(labelled([0]), [], shots, 1)


@given(LABELS.filter(lambda labels: len(set(labels)) > 1), LABELS)
def test_base_and_new_divide_the_classes_of_the_first_split(train_labels, test_labels):
    train, test = labelled(train_labels), labelled(test_labels, "test")
    present = sorted(set(train_labels))
    size = {"base": ceil(len(present) / 2), "new": len(present) // 2}
    kept: list[Path] = []
    for half, originals in (("base", present[: size["base"]]), ("new", present[size["base"] :])):
        splits = base_to_new(train, test, half=half)
        assert {e.label for e in splits[0]} == set(range(size[half]))
        for given_, got in zip((train, test), splits, strict=True):
            # Order, path and name stay; the new label says which of the half's classes it is.
            expected = [e for e in given_ if e.label in originals]
            assert [(e.path, e.class_name) for e in got] == [(e.path, e.class_name) for e in expected]
            assert [originals[e.label] for e in got] == [e.label for e in expected]
            kept += [e.path for e in got]
    assert sorted(kept) == sorted(e.path for e in train + test if e.label in present)


@pytest.mark.parametrize(
    ("splits", "half", "message"),
    [
        ([], "base", "got 0"),
        ([[]], "base", "got 0"),
        ([labelled([3, 3]), labelled([0, 1])], "base", "two classes in the first split; got 1"),
        ([labelled([0, 1])], "old", "one of base, new; got 'old'"),
        ([labelled([0, 1])], "all", "one of base, new; got 'all'"),
    ],
)
def test_base_to_new_refuses(splits, half, message):
    with pytest.raises(InputError, match=message):
        base_to_new(*splits, half=half)


@given(st.lists(st.integers(4, 30), min_size=1, max_size=8), SEEDS, st.randoms(use_true_random=False))
def test_random_split_is_a_partition_by_the_rule(class_sizes, seed, mixer):
    examples = labelled([label for label, size in enumerate(class_sizes) for _ in range(size)])
    mixer.shuffle(examples)
    given_order = list(examples)
    before = random.getstate()
    splits = random_split(examples, seed)
    assert random.getstate() == before and examples == given_order
    assert splits == random_split(examples, seed)
    together = [e for split in splits for e in split]
    assert len(together) == len(examples) and set(together) == set(examples)
    train, val, _ = (Counter(e.label for e in split) for split in splits)
    for label, size in enumerate(class_sizes):
        # In integers: round(n / 2) takes the tie of an odd n to the even number; round(n / 5) has no ties.
        assert train[label] == (size // 2 + 1 if size % 4 == 3 else size // 2)
        assert val[label] == (2 * size + 5) // 10


def test_random_split_has_the_sizes_of_the_published_dtd_split():
    # DTD: 47 classes of 120 images -> 2,820 / 1,128 / 1,692 (original_protocol.md, section 1.4).
    examples = labelled([label for label in range(47) for _ in range(120)])
    assert [len(split) for split in random_split(examples, 1)] == [2820, 1128, 1692]


def test_random_split_depends_on_the_seed_and_takes_other_fractions():
    examples = labelled([0] * 50 + [1] * 50)
    assert random_split(examples, 0) != random_split(examples, 1)
    assert [len(split) for split in random_split(examples, 0, (0.8, 0.1, 0.1))] == [80, 10, 10]


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (0.5, 0.5, 0.0), (1.2, -0.4, 0.2)])
def test_random_split_refuses_fractions(fractions):
    with pytest.raises(InputError, match="three positive numbers"):
        random_split(labelled([0] * 20), 1, fractions)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_random_split_refuses_a_class_too_small_for_three_parts(size):
    with pytest.raises(InputError, match=f"class 'class 1'.*got {size}"):
        random_split(labelled([0] * 20 + [1] * size), 1)


def originals_hold_out(examples, seed):
    """The original's procedure for 20 % of every class, spelled out on Python's global stream."""
    random.seed(seed)
    train, val = [], []
    for label in dict.fromkeys(e.label for e in examples):
        positions = [i for i, e in enumerate(examples) if e.label == label]
        random.shuffle(positions)
        n_val = round(len(positions) * 0.2)
        val.extend(examples[i] for i in positions[:n_val])
        train.extend(examples[i] for i in positions[n_val:])
    return train, val


@given(st.lists(st.integers(3, 30), min_size=1, max_size=8), SEEDS, st.randoms(use_true_random=False))
def test_hold_out_equals_the_global_stream_and_leaves_it_alone(class_sizes, seed, mixer):
    examples = labelled([label for label, size in enumerate(class_sizes) for _ in range(size)])
    mixer.shuffle(examples)
    before, given_order = random.getstate(), list(examples)
    train, val = hold_out(examples, seed)
    assert random.getstate() == before and examples == given_order
    assert (train, val) == originals_hold_out(examples, seed)
    assert sorted([*train, *val]) == sorted(examples)
    # In integers, as above: n / 5 rounded has no ties.
    assert Counter(e.label for e in val) == {label: (2 * size + 5) // 10 for label, size in enumerate(class_sizes)}


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_hold_out_refuses_fractions(fraction):
    with pytest.raises(InputError, match="between 0 and 1"):
        hold_out(labelled([0] * 20), 1, fraction)


@pytest.mark.parametrize(("size", "fraction"), [(1, 0.2), (2, 0.2), (2, 0.9)])
def test_hold_out_refuses_a_class_too_small_for_two_parts(size, fraction):
    with pytest.raises(InputError, match=f"class 'class 1'.*got {size}"):
        hold_out(labelled([0] * 20 + [1] * size), 1, fraction)
