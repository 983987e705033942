"""scikit-learn's own checks of an estimator, every one that the installed version has.

They fit rows of numbers, which are no pictures: `PromptClassifier` refuses them, in one line. So each check runs twice,
on the classifier itself, and on one to which a row is a picture, a strip of greys.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted, validate_data

from cocoop import CLIP, PromptClassifier


class OfRows(PromptClassifier):
    """Turns rows into pictures, refuses rows as scikit-learn's own classifiers do, and calls the labels `y`.

    (What takes a classifier gives it labels by place, not by name, in all of scikit-learn but two checks.) All else is
    inherited.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags

    def fit(self, rows, y):
        return super().fit(self._pictures(rows, reset=True), y)

    def predict_proba(self, rows, *how):
        check_is_fitted(self)
        return super().predict_proba(self._pictures(rows), *how)

    def score(self, rows, y, sample_weight=None):
        return super().score(self._pictures(rows), y, sample_weight)

    def _pictures(self, rows, reset=False):
        if isinstance(rows, list) and isinstance(rows[0], Image.Image):  # a method called another of this class
            return rows
        numbers = np.asarray(validate_data(self, rows, reset=reset), np.float64)
        greys = (255 / (1 + np.exp(-numbers))).round().astype(np.uint8)
        return [Image.fromarray(row[None]).resize((32, 32)) for row in greys]


CHECKS: dict[str, Callable[[Any], None]] = {}
for _, _check in estimator_checks_generator(OfRows("linear-probe")):
    # Three come again with other memory or dtypes, which make other rows and the same pictures.
    CHECKS.setdefault(_check.func.__name__, _check)

WITHOUT_ROWS = {
    "check_classifiers_one_label_sample_weights",
    "check_decision_proba_consistency",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_sparse_tag",
    "check_estimator_tags_renamed",
    "check_estimators_partial_fit_n_features",
    "check_estimators_unfitted",
    "check_fit1d",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_n_features_in_after_fitting",  # of those whose tags say that they take rows
    "check_no_attributes_set_in_init",
    "check_non_transformer_estimators_n_iter",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_supervised_y_no_nan",
    "check_valid_tag_types",
}
"""Checks that fit no rows, or that ask for an error of any text: they pass on the classifier itself."""

FAIL = {
    "check_array_api_input": (
        "SCIPY_ARRAY_API is not set",
        "scikit-learn skips it, unless an environment variable is set before SciPy is imported",
    ),
    "check_class_weight_classifiers": (
        "class_weight: expected one of balanced; got {",
        "`class_weight` takes no dict: it is kept in run folders, whose classes may be changed",
    ),
    "check_classifier_data_not_an_array": (
        "labels: expected a list, one per image; got _NotAnArray",
        "labels must have a length; NumPy's, pandas' and torch's have one",
    ),
    "check_classifiers_regression_target": (
        "When a classifier is passed a continuous target, it should raise a ValueError",
        "0.5 may be the name of a class, as every number and text may",
    ),
    "check_do_not_raise_errors_in_init_or_set_params": (
        "takes no 'old_names'",
        "the check gives a parameter of that name, where `**old_names` takes those of the last release",
    ),
    "check_requires_y_none": (
        "with the incorrect or incomplete error message",
        "the message is this package's own: labels: expected a list, one per image; got NoneType",
    ),
    "check_supervised_y_2d": (
        r"labels: expected one name \(or number\) in every place",
        "a column of labels [N, 1] is refused, and not flattened with a warning",
    ),
}
"""Checks that do not pass, whatever they fit -> what they then say, and why that is meant."""


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_on_rows_that_are_pictures(name, tiny, tmp_path):
    # Features that are kept are to the bit the same in any batch, and the checks encode the same rows many times.
    classifier = OfRows("linear-probe", tiny, shots=None, feature_cache=tmp_path)
    if name not in FAIL:
        CHECKS[name](classifier)
        return
    with pytest.raises((Exception, unittest.SkipTest), match=FAIL[name][0]):
        CHECKS[name](classifier)


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - FAIL.keys()))
def test_on_the_classifier_itself(name, tiny):
    """It passes, or it fits rows of numbers, and these are refused."""
    check, classifier = CHECKS[name], PromptClassifier("zero-shot", tiny)
    if name in WITHOUT_ROWS:
        check(classifier)
        return
    with pytest.raises((Exception, unittest.SkipTest)) as caught:
        check(classifier)
    assert any("images: expected" in str(error) for error in chain(caught.value))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_the_tables_name_checks_that_there_are():
    assert len(CHECKS) > 50 and len(FAIL) == 7  # as docs/sklearn.md says
    assert WITHOUT_ROWS | FAIL.keys() <= CHECKS.keys()
    assert not WITHOUT_ROWS & FAIL.keys()


def test_a_part_of_the_pictures_has_the_same_probabilities(tiny: CLIP):
    """As `check_methods_subset_invariance`, without kept features: products over other batches round otherwise."""
    rows = np.random.default_rng(0).normal(size=(30, 3))
    classifier = OfRows("linear-probe", tiny, shots=None).fit(rows, rows[:, 0] > 0)
    one_by_one = np.concatenate([classifier.predict_proba(rows[n : n + 1]) for n in range(len(rows))])
    np.testing.assert_allclose(one_by_one, classifier.predict_proba(rows), rtol=0, atol=1e-5)  # 3e-7 was measured
