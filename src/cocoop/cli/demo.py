"""`cocoop demo`."""

from pathlib import Path
from typing import Annotated

import typer

from cocoop.progress import note

SHOTS = 16
SEEDS = (1, 2, 3)

Out = Annotated[Path, typer.Option(metavar="DIR", help="The folder to write; must be new.")]


def demo(out: Out = Path("cocoop-demo")) -> None:
    """Compare zero-shot CLIP, CoOp and CoCoOp on real images, by the paper's base-to-new protocol.

    Data: scikit-learn's 1,797 handwritten digits; base classes are zero to four, new classes five to nine. Model: the
    bundled CLIP "tiny". 16 shots, seeds 1-3, the papers' settings but for random crops and flips, which would make
    other signs of digits. Takes about a minute on two CPU cores.

    Example:
      cocoop demo --out cocoop-demo
    """
    from cocoop.data import HALVES, read_dataset
    from cocoop.errors import RunError
    from cocoop.protocols import Benchmark, narrowed, preset
    from cocoop.reports import base_to_new_figure, base_to_new_table, text_table
    from cocoop.results import RunRecord, check_new, read_record, write_text

    check_new(out)
    digits = read_dataset("digits", out)
    plan = narrowed(preset("base-to-new", "offline"), ["digits"], shots=(SHOTS,), seeds=SEEDS, baselines=False)
    trials = plan.trials("base-to-new")
    for failure in Benchmark(trials, out, "tiny", {"digits": digits}, device="cpu").run():
        raise RunError(f"{failure.task.folder}: {failure.reason}")

    records: dict[str, list[RunRecord]] = {}
    for trial in trials:
        records.setdefault(trial.method, []).append(read_record(out / trial.folder))
    summary = base_to_new_table(records)
    table = text_table(summary.header, summary.rows)
    write_text(out / "table.md", table + "\n")
    base_to_new_figure(out / "base-to-new.png", summary, {half: digits.select(half).test for half in HALVES})
    print(table)
    note(f"accuracy in percent on {len(digits.test):,} test images, mean +- std over seeds {SEEDS[0]}-{SEEDS[-1]}")
    note(f"runs, table and picture: {out}")
