"""`score` against counting by hand, with a model whose probabilities are given."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from cocoop import Example, InputError
from cocoop.evaluation import MISTAKES, measure, score

NAMES = ["cat", "dog", "emu"]


class Given:
    """Stands in for a method: the features are its probabilities."""

    class_names = NAMES
    conditional = False

    def probabilities(self, image_features):
        return image_features


@pytest.fixture
def drawn():
    generator = np.random.default_rng(7)
    probabilities = generator.dirichlet([0.5] * 3, size=60)
    labels = generator.integers(0, 3, size=60)
    examples = [Example(Path(f"{n}.png"), int(label), NAMES[label]) for n, label in enumerate(labels)]
    return probabilities, labels, examples


def test_figures_and_what_was_said_of_every_image(drawn):
    probabilities, labels, examples = drawn
    scores = score(Given(), torch.from_numpy(probabilities), examples)
    expected = measure(probabilities, labels, NAMES).as_dict()
    assert {name: getattr(scores.figures, name) for name in expected} == expected
    assert (scores.figures.dataset, scores.figures.test_hash) == (None, None)
    assert json.loads(json.dumps(asdict(scores.figures))) == asdict(scores.figures)
    assert scores.predictions["label"].tolist() == labels.tolist()
    assert scores.predictions["predicted"].tolist() == [max(range(3), key=lambda k, p=p: p[k]) for p in probabilities]
    assert scores.predictions["confidence"].tolist() == [np.float32(max(row)) for row in probabilities]
    assert [scores.predictions[name].dtype for name in ("label", "predicted", "confidence")] == ["i4", "i4", "f4"]


def test_the_most_confident_mistakes_come_first(drawn):
    probabilities, labels, examples = drawn
    mistakes = score(Given(), torch.from_numpy(probabilities), examples).figures.mistakes
    by_hand = []
    for row, label, example in zip(probabilities, labels, examples, strict=True):
        best = max(range(3), key=lambda k, row=row: row[k])
        if best != label:
            by_hand.append((np.float32(row[best]), str(example.path), NAMES[label], NAMES[best]))
    assert len(by_hand) > MISTAKES == len(mistakes)
    by_hand.sort(key=lambda entry: -entry[0])
    assert [(m.confidence, m.image, m.label, m.predicted) for m in mistakes] == by_hand[:MISTAKES]


def test_equally_confident_mistakes_stay_in_order():
    examples = [Example(Path(f"{n:02}.png"), 1, "dog") for n in range(40)]
    mistakes = score(Given(), torch.tensor([[0.6, 0.3, 0.1]] * 40), examples).figures.mistakes
    assert [mistake.image for mistake in mistakes] == [f"{n:02}.png" for n in range(MISTAKES)]


def test_no_mistake(drawn):
    examples = [Example(Path("a.png"), 2, "emu")]
    assert score(Given(), torch.tensor([[0.1, 0.2, 0.7]]), examples).figures.mistakes == []


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_of_another_class_list(label):
    with pytest.raises(InputError, match=r"labels: expected 0\.\.2"):
        score(Given(), torch.tensor([[0.1, 0.2, 0.7]]), [Example(Path("a.png"), label, "fox")])
