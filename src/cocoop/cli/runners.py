"""What carries out the runs of `cocoop benchmark`: processes, Ray, or a Slurm job array."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cocoop.errors import InputError, expect_choice
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.protocols import Benchmark, Trial
    from cocoop.workers import Failure

RUNNERS = ("processes", "ray", "slurm")

RunnerName = Annotated[
    str,
    typer.Option(
        "--runner",
        metavar="processes|ray|slurm",
        help="What carries out the runs: processes of this machine; tasks of the Ray cluster that RAY_ADDRESS names, "
        "or else of this machine; or a Slurm job array, whose script is written for sbatch.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Runs at a time. As processes: default 1; one per GPU is right. By ray or slurm: default as many as there "
        "is room for.",
    ),
]
Threads = Annotated[
    int, typer.Option(metavar="N", help="Of each run by ray or slurm, which has as many CPUs for itself.")
]
Sbatch = Annotated[
    str | None,
    typer.Option(metavar="OPTIONS", help='More options of sbatch, such as "--partition=gpu --gres=gpu:1".'),
]
Only = Annotated[
    int | None,
    typer.Option(metavar="N", help="Carry out run N alone, counted from 0 as --dry-run lists them, beside others."),
]

_OF_THE_WHOLE = {"--runner": 1, "--jobs": 1, "--threads": 1, "--sbatch": 1, "--json": 0}
"""Options that a task of the array does not have -> how many values they take."""


class By(NamedTuple):
    """What carries out the runs; fields are the options' names."""

    runner: str
    jobs: int | None
    threads: int
    sbatch: str | None
    only: int | None

    @classmethod
    def checked(
        cls, smoke: bool, runner: str, jobs: int | None, threads: int, sbatch: str | None, only: int | None
    ) -> By:
        """`InputError` for what cannot be together, or with the smoke preset."""
        by = cls(runner, jobs, threads, sbatch, only)
        by._check(smoke)
        return by

    def _check(self, smoke: bool) -> None:
        expect_choice("--runner", self.runner, RUNNERS)
        for name, number in (("--jobs", self.jobs), ("--threads", self.threads)):
            if number is not None and number < 1:
                raise InputError(f"{name}: expected 1 or more; got {number}.")
        if self.threads > 1 and self.runner == "processes":
            raise InputError(
                "--threads: expected --runner ray or slurm; processes share the threads of this machine evenly."
            )
        if self.sbatch is not None and self.runner != "slurm":
            raise InputError(f"--sbatch: expected --runner slurm; got {self.runner}.")
        if self.only is not None and self.runner != "processes":
            raise InputError(f"--only: expected no --runner, because this process carries it out; got {self.runner}.")
        if smoke and self.runner == "slurm":
            raise InputError("--runner slurm: expected another preset than smoke, whose data every run would rewrite.")

    def carry_out(self, benchmark: Benchmark) -> list[Failure[Trial]]:
        """Carry out the open runs, or write the script for them; give those that failed."""
        if self.only is not None:
            if not 0 <= self.only < len(benchmark.trials):
                raise InputError(f"--only: expected one of the runs 0..{len(benchmark.trials) - 1}; got {self.only}.")
            return benchmark.run_only(self.only)
        if self.runner == "ray":
            return benchmark.run_on_ray(self.jobs, self.threads)
        if self.runner == "slurm":
            self._write_array(benchmark)
            return []
        return benchmark.run(self.jobs or 1)

    def _write_array(self, benchmark: Benchmark) -> None:
        from cocoop.protocols import job_array
        from cocoop.results import write_text

        todo = {trial.folder for trial in benchmark.open_trials()}
        numbers = [number for number, trial in enumerate(benchmark.trials) if trial.folder in todo]
        if not numbers:
            return
        logs = benchmark.out.absolute() / "slurm"
        logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "cocoop", *of_one_run(sys.argv[1:]), "--only"]
        options = shlex.split(self.sbatch or "")
        script = logs / f"{benchmark.trials[0].protocol}.sh"
        write_text(script, job_array(command, numbers, logs, Path.cwd(), self.jobs, self.threads, options))
        note(f"next: sbatch {shlex.quote(str(script))}")
        note(f"then the same command again, which collects what the {len(numbers):,} runs have left")


def of_one_run(arguments: list[str]) -> list[str]:
    """The arguments of the command without those that say how all of its runs are carried out."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        name, given, _ = argument.partition("=")
        if name not in _OF_THE_WHOLE:
            kept.append(argument)
        elif not given:
            for _ in range(_OF_THE_WHOLE[name]):
                next(rest)
    return kept
