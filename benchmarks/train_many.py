"""Whether a long training keeps its memory and its open files: `python benchmarks/train_many.py`. Linux only.

20,000 steps of CoCoOp, of random views that a feature cache keeps, watched on validation images, with a state inside
every epoch, in one process. Printed are the resident memory and the open files over the steps; checked is that the
memory of the last tenth is within a tenth of the second's, and that it has no more open files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import torch

from cocoop import Callback, PromptClassifier, read_dataset
from cocoop.bench.memory import resident_mb
from cocoop.reports import text_table
from cocoop.results import Epoch

SHOTS, VALIDATED = 20, 5


class Looks(Callback):
    """Looks at this process after every tenth of the epochs.

    rows: steps, resident MB, open files.
    """

    def __init__(self, epochs: int, steps: int) -> None:
        self.every, self.steps = max(1, epochs // 10), steps
        self.rows: list[tuple[int, float, int]] = []

    def on_epoch_end(self, epoch: Epoch) -> None:
        """See `Callback`."""
        if (epoch.epoch + 1) % self.every == 0:
            resident, files = resident_mb(os.getpid()), len(os.listdir("/proc/self/fd"))
            self.rows.append(((epoch.epoch + 1) * self.steps, resident, files))


def main() -> None:
    """Print a Markdown table, and what was checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        digits = read_dataset("digits", Path(folder))
        images, labels = [example.path for example in digits.train], [example.label for example in digits.train]
        steps = SHOTS * len(digits.class_names)
        looks = Looks(options.steps // steps, steps)
        held_out = [example for example in digits.test if example.label < VALIDATED][: 10 * VALIDATED]
        PromptClassifier(
            shots=SHOTS, epochs=options.steps // steps, augment=True, views=4, feature_cache=Path(folder, "features")
        ).fit(
            images,
            labels,
            digits.class_names,
            validation=([example.path for example in held_out], [example.label for example in held_out]),
            callbacks=[looks],
            checkpoint=Path(folder, "state"),
            checkpoint_every=50,
        )
    shown = [[f"{steps:,}", f"{memory:.0f}", str(files)] for steps, memory, files in looks.rows]
    print(text_table(["steps", "resident, MB", "open files"], shown))
    first, last = looks.rows[min(1, len(looks.rows) - 1)], looks.rows[-1]
    flat = last[1] < 1.1 * first[1] and last[2] <= first[2]
    print(f"\nmemory and open files are {'flat' if flat else 'NOT flat'}: the last tenth against the second")
    if not flat:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
