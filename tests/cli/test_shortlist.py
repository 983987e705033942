"""--shortlist of evaluate and predict: its figures against Python, its label, and what it refuses."""

import json

import numpy as np
import pytest
from own_photos import CLASSES

from cocoop import PromptClassifier
from cocoop.data import fingerprint


@pytest.fixture
def held_out(trained):
    """The nine photos that the run was not trained on, and the classifier."""
    classifier = PromptClassifier.load("run", device="cpu")
    paths = sorted((trained.parent / "photos").rglob("*.png"))
    return classifier, [path for path in paths if fingerprint(path) not in classifier.trained_on]


@pytest.fixture
def run(cocoop, trained):
    return lambda *arguments: cocoop(*arguments, "--device", "cpu")


def test_verify_reports_what_python_counts(run, held_out):
    classifier, paths = held_out
    labels = [path.parent.name for path in paths]
    full, short = classifier.predict_proba(paths), classifier.predict_proba(paths, shortlist=2)
    assert ((short > 0).sum(axis=1) == 2).all() and np.allclose(short.sum(axis=1), 1)
    ran = run("evaluate", "run", "photos", "--shortlist", 2, "--verify", "--json")
    assert ran.code == 0, ran.err
    scored = json.loads(ran.out)
    assert (scored["shortlist"], scored["approximate"], scored["n"]) == (2, True, 9)
    assert scored["accuracy"] == pytest.approx(100 * classifier.score(paths, labels, shortlist=2))
    agreement = scored["agreement"]
    assert agreement["exact"]["accuracy"] == pytest.approx(100 * classifier.score(paths, labels))
    assert agreement["approximate"]["accuracy"] == scored["accuracy"]
    same = [a.argmax() == b.argmax() for a, b in zip(short, full, strict=True)]
    assert agreement["same_top_class"] == pytest.approx(100 * sum(same) / 9)
    differences = [abs(max(a) - max(b)) for a, b in zip(short, full, strict=True)]
    assert agreement["largest_difference"] == pytest.approx(max(differences), abs=1e-5)
    assert agreement["mean_difference"] == pytest.approx(sum(differences) / 9, abs=1e-5)
    assert agreement["approximate_seconds"] > 0 and agreement["exact_seconds"] > 0
    assert classifier.predict(paths, shortlist=2).tolist() == [CLASSES[k] for k in short.argmax(axis=1)]


def test_the_tables_call_it_approximate(run):
    ran = run("evaluate", "run", "photos", "--shortlist", 2, "--verify")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in ran.out.splitlines() if line]
    rows = [row for row in cells if not row[0].startswith("-")]
    assert rows[0] == ["figure", "shortlist of 2 (approximate)", "exact"]
    assert rows[1] == ["images", "9", "9"] and len(rows[6]) == 3
    assert [row[0] for row in rows[7:11]] == [
        "agreement",
        "same top class, % of images",
        "largest difference of the top probability, 0..1",
        "mean difference of the top probability, 0..1",
    ]
    assert [row[0] for row in rows[11:]] == ["class", *CLASSES]
    alone = run("evaluate", "run", "photos", "--shortlist", 2).out.splitlines()
    assert "shortlist of 2 (approximate)" in alone[0] and "exact" not in alone[0]


def test_a_shortlist_of_all_classes_is_exact_and_says_so(run):
    plain = json.loads(run("evaluate", "run", "photos", "--json").out)
    scored = json.loads(run("evaluate", "run", "photos", "--shortlist", 20, "--json").out)
    assert (scored.pop("shortlist"), scored.pop("approximate")) == (3, False)
    assert scored.pop("notes").pop() == "exact inference, since all classes are on the shortlist"
    del plain["notes"]
    assert scored == plain
    assert "shortlist of 3 (exact)" in run("evaluate", "run", "photos", "--shortlist", 20).out


def test_predict(run, held_out):
    classifier, paths = held_out
    ran = run("predict", "run", *paths[:2], "--top", 3, "--shortlist", 2, "--json")
    assert ran.code == 0 and ran.err.startswith("note: a shortlist of 2 is approximate")
    entries = json.loads(ran.out)
    best = np.sort(classifier.predict_proba(paths[:2], shortlist=2), axis=1)[:, ::-1]
    assert [entry["probability"] for entry in entries] == pytest.approx(best.flatten().tolist(), abs=1e-5)
    assert entries[2]["probability"] == entries[5]["probability"] == 0
    assert run("predict", "run", paths[0], "--shortlist", 3).err.startswith("note: exact inference")


def test_what_is_refused(run, cocoop):
    for command in (("evaluate", "run", "photos"), ("predict", "run", "photos/one/0.png")):
        ran = run(*command, "--shortlist", 0)
        assert (ran.code, ran.out) == (2, "") and "--shortlist" in ran.err
    ran = run("evaluate", "run", "photos", "--verify")
    assert (ran.code, ran.out) == (2, "") and "--verify: expected --inference tangent or --shortlist N" in ran.err
    assert cocoop("train", "photos", "--method", "zero-shot", "--out", "zero").code == 0
    for options in (("--shortlist", 2), ("--shortlist", 2, "--verify")):
        ran = run("evaluate", "zero", "photos", *options)
        assert (
            (ran.code, ran.out) == (2, "") and "expected a conditional prompt" in ran.err and "Traceback" not in ran.err
        )
