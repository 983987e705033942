"""`cocoop demo`."""

from pathlib import Path
from typing import Annotated

import typer

from cocoop.cli.common import note

SHOTS = 16
SEEDS = (1, 2, 3)
SPLIT = (0.2, 0.1, 0.7)  # most digits to the test: 16 shots need few, and figures on more images waver less


def demo(
    out: Annotated[Path, typer.Option(help="The folder to write; must be new.")] = Path("cocoop-demo"),
) -> None:
    """Compare zero-shot CLIP, CoOp and CoCoOp on real images, by the paper's base-to-new protocol.

    Data: scikit-learn's 1,797 handwritten digits; base classes are zero to four, new classes five to nine. Model: the
    bundled CLIP "tiny". 16 shots, seeds 1-3, the papers' settings but for random crops and flips, which would make
    other signs of digits. Takes about a minute on two CPU cores.

    Example:
      cocoop demo --out cocoop-demo
    """
    import torch

    from cocoop.classifier import PromptClassifier
    from cocoop.clip import CLIP
    from cocoop.data import random_split, read_digits
    from cocoop.methods import METHODS
    from cocoop.progress import progress
    from cocoop.protocols import BaseToNew
    from cocoop.reports import base_to_new_figure, base_to_new_rows, text_table
    from cocoop.results import check_new, read_run

    check_new(out)
    # The model is small: a second thread gains little, and waits on busy cores for sixty times as long (measured).
    torch.set_num_threads(1)
    clip = CLIP.load("tiny", device="cpu")
    train, _, test = random_split(read_digits(out / "digits"), seed=0, fractions=SPLIT)
    protocol = BaseToNew(clip, train, test)
    runs = [(method, seed) for method in METHODS for seed in SEEDS]
    records: dict[str, list[dict[str, object]]] = {method: [] for method in METHODS}
    for method, seed in progress(runs, "base-to-new, runs"):
        # No random crops and flips: a mirrored or cut digit is another sign, or none.
        classifier = PromptClassifier(method=method, clip=clip, shots=None, seed=seed, augment=False)
        folder = classifier.save(out / "runs" / f"{method}-seed{seed}", protocol.run(classifier, SHOTS))
        records[method].append(read_run(folder).record)

    rows = base_to_new_rows(records)
    header = ["method", "base", "new", "H", "seconds per run", "trainable parameters"]
    table = text_table(
        header,
        [
            [
                row["method"],
                f"{row['base'][0]:.2f} +- {row['base'][1]:.2f}",
                f"{row['new'][0]:.2f} +- {row['new'][1]:.2f}",
                f"{row['harmonic_mean']:.2f}",
                f"{row['seconds']:.1f}",
                f"{row['trainable_parameters']:,}",
            ]
            for row in rows
        ],
    )
    (out / "table.md").write_text(table + "\n", encoding="utf-8")
    base_to_new_figure(out / "base-to-new.png", rows, protocol.halves)
    print(table)
    note(f"accuracy in percent on {len(test):,} test images, mean +- std over seeds {SEEDS[0]}-{SEEDS[-1]}")
    note(f"runs, table and picture: {out}")
