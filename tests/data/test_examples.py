from pathlib import Path

import pytest

from cocoop.class_names import check_class_names, check_spelling, prompt_name
from cocoop.data import Example, class_names, positions_by_label
from cocoop.errors import InputError


def example(label: int, name: str = "", path: str = "a.jpg") -> Example:
    return Example(Path(path), label, name or f"class {label}")


def test_class_names_are_ordered_by_label_not_by_appearance():
    assert class_names([example(1, "ant"), example(0, "bee"), example(1, "ant")]) == ["bee", "ant"]


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "got none"),
        ([example(0), example(2)], "without 1"),
        ([example(1), example(2)], "without 0"),
        ([example(0), example(-1)], "got -1"),
        ([example(0, "cat"), example(0, "dog", "b.jpg")], "'cat' and 'dog' for label 0 .b.jpg"),
    ],
)
def test_class_names_refuses_labels_that_do_not_number_the_classes(examples, message):
    with pytest.raises(InputError, match=message):
        class_names(examples)


def test_positions_by_label_keeps_first_appearance_and_order():
    groups = positions_by_label([2, 0, 2])
    assert list(groups) == [2, 0]
    assert groups == {2: [0, 2], 0: [1]}


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("Apply_Eye_Makeup", "Apply Eye Makeup"),
        (" cat ", " cat "),
        ("_x_", " x "),
        ("a__b", "a  b"),
        ("what?_", "what? "),
    ],
)
def test_prompt_name_turns_underscores_to_spaces_and_keeps_the_case(name, spelled):
    assert prompt_name(name) == spelled


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "empty list"),
        (["cat", "_ _"], "'_ _'"),
        (["cat", ""], "''"),
        (["cat", "dog", "cat"], "'cat' and 'cat'"),
        (["red_fox", "Red  Fox "], "'red_fox' and 'Red  Fox '"),
        (["straße", "STRAßE"], "'straße' and 'STRAßE'"),
    ],
)
def test_check_class_names_refuses(names, message):
    with pytest.raises(InputError, match=message):
        check_class_names(names)


@pytest.mark.parametrize("names", [[], ["cat", ""], ["cat", "_ _"]])
def test_check_spelling_refuses_no_names_and_empty_ones(names):
    with pytest.raises(InputError, match="class names: expected"):
        check_spelling(names)


def test_check_spelling_accepts_a_name_twice_as_imagenet_has_it():
    check_spelling(["sunglasses", "cat", "sunglasses"])


@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9", "cafe\u0301"), ("dog's", "dog\u2019s"), ("a &amp; b", "A & b"), ("a b", "a\nb")]
)
def test_check_class_names_refuses_what_clips_tokenizer_reads_the_same(one, other):
    with pytest.raises(InputError, match="read the same in a prompt"):
        check_class_names([one, other])


def test_check_spelling_refuses_what_no_file_can_keep():
    with pytest.raises(InputError, match=r"expected Unicode text in every name; got '\\udcfe"):
        check_spelling(["cat", "\udcfe"])


def test_check_class_names_accepts_one_class_and_near_misses():
    check_class_names(["cat"])
    check_class_names(["cat", "cats", "a cat", "ca t"])
