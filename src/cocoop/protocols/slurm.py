"""A benchmark as a Slurm job array: a script for sbatch, of which each task carries out one trial."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path


def job_array(
    command: Sequence[str],
    numbers: Sequence[int],
    logs: Path,
    working_directory: Path,
    at_once: int | None = None,
    threads: int = 1,
    options: Iterable[str] = (),
) -> str:
    """The script. Slurm reads its `#SBATCH` lines, and a shell the others.

    Args:
        command: what each task runs, with the number of its trial behind it.
        numbers: of the trials, in rising order.
        logs: the folder of what the tasks say, which must be there: each has a file by its number.
        working_directory: where the command runs.
        at_once: how many tasks may run at a time; None leaves that to Slurm.
        threads: of each task, which has as many CPUs.
        options: further ones of sbatch, such as "--partition=gpu"; they come last, and so they hold.
    """
    limit = "" if at_once is None else f"%{at_once}"
    named = {"array": f"{_ranges(numbers)}{limit}", "cpus-per-task": str(threads), "output": f"{logs}/%a.log"}
    own = [f"--{name}={shlex.quote(value)}" for name, value in {"job-name": "cocoop", **named}.items()]
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in (*own, *options)),
            f"cd {shlex.quote(str(working_directory))} || exit 1",
            'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"',
            f'exec {shlex.join(command)} "$SLURM_ARRAY_TASK_ID"',
            "",
        ]
    )


def _ranges(numbers: Sequence[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
