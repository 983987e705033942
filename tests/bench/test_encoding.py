"""The prompts that are measured have the lengths that they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cocoop.bench import SUFFIX_LENGTHS, class_names, suffix_lengths
from cocoop.bench.encoding import _WORDS


def test_a_hundred_classes_are_the_table():
    lengths, counts = np.unique(suffix_lengths(100), return_counts=True)
    assert dict(zip(lengths.tolist(), counts.tolist(), strict=True)) == SUFFIX_LENGTHS
    assert sum(suffix_lengths(1000)) == 4170  # 4.17 on average, as ImageNet's


@given(st.integers(min_value=10, max_value=3000))
def test_any_number_of_classes_has_about_the_average_length(classes):
    assert np.mean(suffix_lengths(classes)) == pytest.approx(4.17, abs=0.55)


def test_names_have_as_many_tokens_as_they_should(tiny):
    assert [len(tiny.token_ids(word)) for word in _WORDS] == [1] * len(_WORDS)
    lengths = [len(tiny.prompt(tiny.token_ids(f"{name}."))) - 1 for name in class_names(300)]  # SOS is no suffix
    assert lengths == suffix_lengths(300)
