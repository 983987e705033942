"""Many trials into one folder: resumed where they stopped, several at a time, and none stops the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath

import torch

from cocoop.atomic import clear_leftovers
from cocoop.clip import CLIP
from cocoop.data import Dataset
from cocoop.errors import InputError
from cocoop.methods.plugins import load_plugins
from cocoop.progress import counter
from cocoop.protocols.locks import alone_in, alone_with
from cocoop.protocols.plan import Trial
from cocoop.protocols.ray_tasks import in_tasks
from cocoop.protocols.reach import check_reach
from cocoop.protocols.runner import Runner
from cocoop.protocols.selection import Selection
from cocoop.results import RunRecord, read_record
from cocoop.results.faults import fault_of_file
from cocoop.training import threads_for, torch_threads
from cocoop.workers import Failure, attempt, in_processes


@dataclass(frozen=True)
class Benchmark:
    """Trials on one CLIP, and the folder that their run folders go to.

    A trial is done when its run folder is there, which appears whole or not at all; so a benchmark that was killed
    goes on where it stopped when the same is run again.

    clip: what `CLIP.load` takes by name. datasets: by the names that the trials use. feature_cache: as in `Runner`.
    memory_budget: as in `CLIP.load`, of every process. tokenizer: as in `CLIP.load`, by name.
    plugins: files that register methods, for every process; see `load_plugins`.
    """

    trials: Sequence[Trial]
    out: Path
    clip: str
    datasets: Mapping[str, Dataset]
    device: str = "auto"
    dtype: str = "auto"
    feature_cache: Path | None = None
    memory_budget: str | int = "auto"
    tokenizer: str | None = None
    plugins: Sequence[Path] = ()
    _same: set[PurePosixPath] = field(default_factory=set, init=False, repr=False, compare=False)

    def open_trials(self) -> list[Trial]:
        """The trials that are not done. Writes nothing.

        Raises:
            InputError: the folder holds a run of the same place with other settings, of other images, on another CLIP
                or with another tokenizer; or a trial is out of reach of its method.
        """
        self._check_places()
        done = {trial.folder for trial in self.trials if (self.out / trial.folder / "record.json").is_file()}
        data = Selection(self.datasets)
        check_reach(self.trials, data)
        for trial in self.trials:
            if trial.folder in done - self._same:  # each once: it takes seconds with a million images
                self._check_same(trial, data)
                self._same.add(trial.folder)
        return [trial for trial in self.trials if trial.folder not in done]

    def run(self, jobs: int = 1) -> list[Failure[Trial]]:
        """Carry out the open trials, `jobs` at a time in processes of their own; with GPUs each takes the next.

        With `jobs` above 1 a script must call this below `if __name__ == "__main__":`: the processes import it.

        Returns:
            The trials that failed, and why. All others are done.

        Raises:
            InputError: another process is at work in the folder, it holds other runs, or the CLIP does not load.
        """
        return self._run(lambda trials: self._in_processes(trials, jobs) if jobs > 1 else self._here(trials))

    def run_on_ray(self, at_once: int | None = None, threads: int = 1) -> list[Failure[Trial]]:
        """Carry out the open trials as Ray's tasks, see `in_tasks`; the rest is as in `run`.

        All paths, `out` too, must be the same on all machines of the cluster.
        """
        return self._run(lambda trials: in_tasks(self._work_on, trials, self.device, at_once, threads))

    def run_only(self, number: int) -> list[Failure[Trial]]:
        """Carry out the trial of this number, from 0, if it is open; other processes may carry out others meanwhile."""
        with alone_with(self.out, number):
            one = replace(self, trials=[self.trials[number]])
            clear_leftovers(self.out / one.trials[0].folder.parent, one.trials[0].folder.name, alone=True)
            trials = one.open_trials()
            return _collected(self._here(trials), len(trials))

    def _run(
        self, carry_out: Callable[[Sequence[Trial]], Iterator[list[Path | Failure[Trial]]]]
    ) -> list[Failure[Trial]]:
        with alone_in(self.out):
            places = {place for trial in self.trials for place in (trial.folder, *trial.folder.parents[:-1])}
            for place in places:
                clear_leftovers(self.out / place.parent, place.name, alone=True)
            trials = self.open_trials()
            return _collected(carry_out(trials), len(trials))

    def runner(self, device: str | None = None) -> Runner:
        """The `Runner` of the trials, with the CLIP loaded."""
        load_plugins(self.plugins)
        device = device or self.device
        clip = CLIP.load(self.clip, self.tokenizer, device, self.dtype, self.memory_budget)
        return Runner(clip, self.datasets, self.out, self.feature_cache)

    def _here(self, trials: Sequence[Trial]) -> Iterator[list[Path | Failure[Trial]]]:
        if trials:
            with torch_threads(threads_for(self.clip)):
                runner = self.runner()
                for trial in trials:
                    yield [attempt(runner.run, trial)]

    def _in_processes(self, trials: Sequence[Trial], jobs: int) -> Iterator[list[Path | Failure[Trial]]]:
        gpus = torch.cuda.device_count() if self.device in ("auto", "cuda") else 0
        devices = [f"cuda:{number % gpus}" if gpus else self.device for number in range(jobs)]
        return in_processes(self._work_on, trials, devices, threads_for(self.clip, jobs))

    def _work_on(self, device: str) -> Callable[[Trial], Path]:
        return self.runner(device).run

    def _check_places(self) -> None:
        places = Counter(trial.folder for trial in self.trials)
        folder, count = places.most_common(1)[0] if places else (None, 0)
        if count > 1:
            names = sorted({trial.dataset for trial in self.trials if trial.folder == folder})
            raise InputError(
                f"{folder}: expected one run per folder; got {count}, of {' and '.join(names)}. Rename one of the data "
                "sets, or give each an --out of its own."
            )

    def _check_same(self, trial: Trial, data: Selection) -> None:
        folder = self.out / trial.folder
        record = _record_in(folder)
        here = asdict(trial) | {"clip": self.clip, "tokenizer": self.tokenizer}
        there = asdict(record.trial) if record.trial else {}
        there |= {"clip": record.clip, "tokenizer": record.tokenizer}
        if self.dtype != "auto":
            here["dtype"], there["dtype"] = self.dtype, record.dtype
        for name, value in here.items():
            if there.get(name) != value:
                raise InputError(
                    f"{folder}: expected a run with {name} {value!r}; got {there.get(name)!r}. Choose another "
                    "--out, or remove that folder."
                )
        changed = _changed_data(trial, data, record)
        if changed is not None:
            raise InputError(
                f"{folder}: expected a run with {changed} as they are now; got one with others. Choose another "
                "--out, or remove that folder."
            )


def _record_in(folder: Path) -> RunRecord:
    try:
        return read_record(folder)
    except InputError as error:
        raise InputError(
            f"{folder}: expected a run as cocoop writes it; its record.json is damaged: "
            f"{fault_of_file(error.__cause__ or error)}. Remove that folder, and start the same command again."
        ) from error


def _changed_data(trial: Trial, data: Selection, record: RunRecord) -> str | None:
    """Which images of a trial differ from those of its run in place, label or class name; None if none do."""
    if record.split_hash != data.training_hash(trial):
        return f"the training images of {trial.dataset}"
    for test in trial.tests:
        figures = record.results.get(test.name)
        if figures is None or figures.test_hash != data.test_hash(test.dataset, test.classes):
            return f"the test images of {test.dataset}"
    return None


def _collected(outcomes: Iterator[list[Path | Failure[Trial]]], total: int) -> list[Failure[Trial]]:
    """All failures, while a bar counts the trials that have ended."""
    failures: list[Failure[Trial]] = []
    with closing(outcomes), counter("runs", total, " runs") as bar:  # type: ignore[type-var]  # it is a generator
        for ended in outcomes:
            bar.update(len(ended))
            bar.refresh()
            failures += [outcome for outcome in ended if isinstance(outcome, Failure)]
    return failures
