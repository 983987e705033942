"""`PromptClassifier` in what scikit-learn, joblib and cleanlab do with a classifier, as docs/sklearn.md says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, cpu_count, delayed
from own_photos import labelled, write_photos
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from cocoop import PromptClassifier
from cocoop.features import usable_cpus

DIGITS = ["four", "one", "seven", "three"]
IMAGES, LABELS = labelled(6, DIGITS)
NAMES, NUMBERS = np.unique(LABELS, return_inverse=True)
PAGE = Path(__file__).parents[1] / "docs/sklearn.md"


def turned(images):
    return [image.rotate(180) for image in images]


def test_in_a_pipeline_and_in_cross_validation(tiny):
    pipeline = make_pipeline(FunctionTransformer(turned), PromptClassifier("zero-shot", tiny)).fit(IMAGES, LABELS)
    alone = PromptClassifier("zero-shot", tiny).fit(IMAGES, LABELS)
    assert pipeline.predict(IMAGES).tolist() == alone.predict(turned(IMAGES)).tolist()
    assert pipeline.classes_.tolist() == alone.classes_.tolist()
    # Zero-shot learns nothing: the mean over folds of equal size is the score on all.
    scores = cross_val_score(PromptClassifier("zero-shot", tiny), IMAGES, LABELS, cv=2)
    assert scores.mean() == pytest.approx(alone.score(IMAGES, LABELS))
    settings = clone(pipeline).set_params(promptclassifier__settings={"templates": ["{}"]})[-1].fit(IMAGES, LABELS)
    assert settings.model_.templates == ["{}"]


def test_probabilities_out_of_sample_are_those_of_each_fold_s_classifier(tiny):
    classifier, folds = PromptClassifier("tip-adapter", tiny, shots=None), StratifiedKFold(2)
    named = {"class_names": NAMES}
    given = cross_val_predict(classifier, IMAGES, NUMBERS, cv=folds, method="predict_proba", params=named)
    for train, test in folds.split(IMAGES, NUMBERS):
        of_the_fold = PromptClassifier("tip-adapter", tiny, shots=None)
        of_the_fold.fit([IMAGES[n] for n in train], [LABELS[n] for n in train])
        expected = of_the_fold.predict_proba([IMAGES[n] for n in test])
        np.testing.assert_array_equal(given[test], expected)
        assert of_the_fold.classes_.tolist() == NAMES.tolist()


def test_names_that_get_lost_are_warned_of(tiny, recwarn):
    """scikit-learn numbers labels before it fits: a class is called "0" then."""
    with pytest.warns(UserWarning, match=r"^cocoop: labels are numbers, so that a class is called '0' in prompts\. If"):
        lost = cross_val_predict(PromptClassifier("zero-shot", tiny), IMAGES, LABELS, cv=2, method="predict_proba")
    named = PromptClassifier("zero-shot", tiny).fit(IMAGES, NUMBERS, NAMES)
    texts = PromptClassifier("zero-shot", tiny).fit(IMAGES, [str(number) for number in NUMBERS])
    np.testing.assert_allclose(lost, texts.predict_proba(IMAGES), rtol=0, atol=1e-5)
    assert np.abs(lost - named.predict_proba(IMAGES)).max() > 0.5
    recwarn.clear()
    PromptClassifier("linear-probe", tiny).fit(IMAGES, NUMBERS)  # reads no names
    PromptClassifier("zero-shot", tiny).fit(IMAGES, LABELS)
    assert not recwarn.list


def test_a_search_in_two_processes_finds_what_one_finds():
    """In them torch and decoding have the CPUs that joblib gives them, and no more."""
    grid = {"shots": [1, 4], "settings": [{"alpha": 0.5}, {"alpha": 20.0}]}
    searches = [
        GridSearchCV(
            PromptClassifier("tip-adapter", "tiny", device="cpu"), grid, cv=2, n_jobs=jobs, error_score="raise"
        )
        for jobs in (1, 2)
    ]
    one, two = (search.fit(IMAGES, LABELS) for search in searches)
    assert two.cv_results_["mean_test_score"].tolist() == one.cv_results_["mean_test_score"].tolist()
    assert len(set(two.cv_results_["mean_test_score"])) > 1
    assert two.best_params_ == one.best_params_
    assert two.predict(IMAGES).tolist() == one.predict(IMAGES).tolist()
    cpus = Parallel(n_jobs=2)(delayed(function)() for function in [usable_cpus, torch.get_num_threads] * 2)
    share = int(os.environ.get("OMP_NUM_THREADS", max(1, cpu_count() // 2)))  # joblib leaves a user's choice
    assert cpus == [share] * 4


def test_calibrated_by_scikit_learn_as_by_itself(tiny):
    """Its temperature of a fitted classifier is that of `calibrate`, found in another way."""
    fitted = PromptClassifier("tip-adapter", tiny, shots=2).fit(IMAGES[::2], LABELS[::2])
    around = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature", cv=2)
    raw, theirs = fitted.predict_proba(IMAGES), around.fit(IMAGES[1::2], LABELS[1::2]).predict_proba(IMAGES)
    ours = fitted.calibrate(IMAGES[1::2], LABELS[1::2]).predict_proba(IMAGES)
    assert around.classes_.tolist() == NAMES.tolist()
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6)  # two searches for one minimum; 1.3e-8 was measured
    assert np.abs(raw - ours).max() > 0.02


def test_calibrated_in_folds_it_keeps_its_names(tiny):
    calibrated = CalibratedClassifierCV(PromptClassifier("tip-adapter", tiny, shots=None), cv=2).fit(IMAGES, LABELS)
    for fold in calibrated.calibrated_classifiers_:
        assert fold.estimator.model_.class_names == NAMES.tolist()
    np.testing.assert_allclose(calibrated.predict_proba(IMAGES).sum(axis=1), 1, rtol=0, atol=1e-12)
    assert calibrated.score(IMAGES, LABELS) > 0.8


def test_the_recipe_finds_labels_that_are_wrong(tmp_path, monkeypatch, capsys):
    """As docs/sklearn.md has it, word by word, on 72 digits of which six lie in another class's folder."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 18, DIGITS)
    planted = set()
    for number, name in [(3, "one"), (8, "one"), (5, "four"), (11, "seven"), (0, "three"), (17, "three")]:
        wrong = DIGITS[(DIGITS.index(name) + 1 + number % 3) % 4]
        file = Path("photos", wrong, f"was {name} {number}.png")
        planted.add(str(Path("photos", name, f"{number}.png").rename(file)))
    first, recipe = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    names: dict = {}
    exec(first + recipe, names)
    found = {str(names["files"][suspect]) for suspect in names["suspects"]}
    assert len(names["files"]) == 72
    assert len(found & planted) / len(planted) >= 5 / 6  # recall
    assert len(found & planted) / len(found) >= 5 / 7  # precision
    file = next(iter(found & planted))
    assert f"{file}: rather {Path(file).stem.split()[1]}?" in capsys.readouterr().out
