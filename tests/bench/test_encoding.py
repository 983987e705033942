"""The prompts that are measured have the lengths that they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cocoop.bench import SUFFIX_LENGTHS, class_names, random_clip, suffix_lengths


def test_a_hundred_classes_are_the_table():
    lengths, counts = np.unique(suffix_lengths(100), return_counts=True)
    assert dict(zip(lengths.tolist(), counts.tolist(), strict=True)) == SUFFIX_LENGTHS
    assert sum(suffix_lengths(1000)) == 4170  # 4.17 on average, as ImageNet's


@given(st.integers(min_value=10, max_value=3000))
def test_any_number_of_classes_has_about_the_average_length(classes):
    assert np.mean(suffix_lengths(classes)) == pytest.approx(4.17, abs=0.55)


def test_names_differ_and_have_as_many_tokens_as_they_should():
    clip = random_clip("tiny")
    prompts = [tuple(clip.prompt(clip.token_ids(f"{name}."))) for name in class_names(2000)]
    assert [len(prompt) - 1 for prompt in prompts] == suffix_lengths(2000)  # SOS is no suffix
    assert len(set(prompts)) == 2000
