"""How many wrong labels cleanlab finds by out-of-sample probabilities, as docs/sklearn.md has it, on bundled digits.

    python benchmarks/label_errors.py

Of 359 training images 29 get another label. Prints the table of the page, and what is left of zero-shot's accuracy
where scikit-learn makes numbers of labels and nobody says their names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.model_selection import cross_val_predict

from cocoop import PromptClassifier, read_dataset

METHODS = ("zero-shot", "tip-adapter", "linear-probe")
SEEDS = (0, 1, 2)
SHARE = 12
"""One label of so many is planted wrong."""


def planted(labels: NDArray[np.int64], classes: int, seed: int) -> tuple[NDArray[np.int64], set[int]]:
    """The labels [N] with some of them wrong, and which."""
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(labels), len(labels) // SHARE, replace=False)
    changed = labels.copy()
    changed[wrong] = (labels[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return changed, set(wrong.tolist())


def main() -> None:
    """Print the table."""
    dataset = read_dataset("digits")
    names, files = dataset.class_names, [str(example.path) for example in dataset.train]
    labels = np.array([example.label for example in dataset.train])
    print("| method | accuracy | on the list | precision | recall |\n|---|--:|--:|--:|--:|")
    for method in METHODS:
        classifier = PromptClassifier(method, shots=None)
        rows = [figures(classifier, files, names, labels, seed) for seed in SEEDS]
        accuracy, listed, precision, recall = np.mean(rows, axis=0)
        print(f"| `{method}` | {accuracy:.1%} | {listed:.0f} | {precision:.0%} | {recall:.0%} |")
    classes, texts = np.unique(np.array(names)), np.array(names)[labels]
    nameless = cross_val_predict(PromptClassifier("zero-shot"), files, texts, cv=5, method="predict_proba")
    print(f"\nzero-shot without the names: {(classes[nameless.argmax(axis=1)] == texts).mean():.1%}")


def figures(
    classifier: Any, files: list[str], names: list[str], labels: NDArray[np.int64], seed: int
) -> tuple[float, int, float, float]:
    """Accuracy out of sample by the right labels, length of the list, precision, recall."""
    given, wrong = planted(labels, len(names), seed)
    probabilities = cross_val_predict(
        classifier, files, given, cv=5, method="predict_proba", params={"class_names": names}
    )
    suspects = find_label_issues(given, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    hits = len(wrong & set(suspects.tolist()))
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return accuracy, len(suspects), hits / len(suspects), hits / len(wrong)


if __name__ == "__main__":
    main()
