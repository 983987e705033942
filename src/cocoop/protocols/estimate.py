"""The time and memory of a benchmark: a step and a batch of each kind are carried out, timed and multiplied."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cocoop.data import Classes
from cocoop.features import AugmentedFeatures, encode_pictures
from cocoop.methods import METHODS, Method, images_at_once
from cocoop.protocols.benchmark import Benchmark
from cocoop.protocols.plan import Trial
from cocoop.protocols.runner import Runner
from cocoop.training import Step, recorded, threads_for, torch_threads

_IMAGES = 64  # of a data set, decoded and encoded to time it
_PATIENCE = 2.0  # seconds for classifying a batch; where a whole one takes longer, a part of it stands for it


class Estimate(NamedTuple):
    """The cost of one trial in one process, once all image features are cached.

    images, classes: how many it learns from; no images where there is nothing to learn. steps: of its training; 0 where
    there is nothing to learn, or the prompt of another protocol's run is taken.
    seconds: of learning and scoring. memory_mb: the peak, in MB of 10^6 bytes, of its process; on a GPU, of the GPU.
    """

    images: int
    classes: int
    steps: int
    seconds: float
    memory_mb: float


class Total(NamedTuple):
    """The cost of the rest of a benchmark, several trials at a time: seconds, and MB of all processes."""

    seconds: float
    memory_mb: float


def estimate(benchmark: Benchmark, jobs: int = 1) -> tuple[Total, list[Estimate]]:
    """Estimate the rest of a benchmark, and each of its trials. Writes nothing.

    The total is the time of the open trials, evenly spread over the processes, with each view of their training images
    encoded once, and the time to encode their test images, which every process does. It leaves out starting the
    processes and loading the CLIP.
    """
    with torch_threads(threads_for(benchmark.clip, jobs)):
        estimator = Estimator(benchmark.runner())
        each = [estimator.of(trial) for trial in benchmark.trials]
        todo = benchmark.open_trials()
        done = [trial for trial in benchmark.trials if trial not in todo]
        left = [cost for trial, cost in zip(benchmark.trials, each, strict=True) if trial in todo]
        at_once = max(1, min(jobs, len(left)))
        # Not shorter than its longest run, however many are at work.
        longest = max((cost.seconds for cost in left), default=0.0)
        shared = sum(cost.seconds for cost in left) + estimator.view_seconds(todo, done)
        seconds = max(shared / at_once, longest) + estimator.test_seconds(todo, done)
    return Total(seconds, at_once * max((cost.memory_mb for cost in left), default=0.0)), each


class _Cost(NamedTuple):
    seconds: float
    memory_mb: float


class _Prompt(NamedTuple):
    """All that the cost of a model depends on."""

    method: str
    dataset: str
    classes: Classes
    context_length: int | None
    images: int  # that its `prepare` keeps


class _Views(NamedTuple):
    """Views of one training image; seed None is the test view."""

    dataset: str
    path: Path
    seed: int | None


class Estimator:
    """Times one step, one batch and one handful of images of each kind, once for all trials that share it.

    Args:
        runner: would carry out the trials.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._step = cache(self._time_step)
        self._image = cache(self._time_image)
        self._classified = cache(self._time_classified)

    def of(self, trial: Trial) -> Estimate:
        """The estimate for one trial."""
        learned_from = self.runner.data.training_set(trial)
        images = len(learned_from.train) if trial.shots else 0
        steps, costs = 0, []
        method = METHODS[trial.method]
        kept = images if method.prepares() else 0
        if images and not self.runner.learned_before(trial, learned_from):
            encoding = self._image(trial.dataset, self._augmented(trial))
            costs.append(encoding._replace(seconds=0.0))
            if method.recipe is not None:
                batch_size = min(_chosen(trial, "batch_size"), images)
                steps = _chosen(trial, "epochs") * (images // batch_size)
                step = self._step(self._prompt(trial, trial.dataset, trial.classes, kept), batch_size)
                costs.append(_Cost(step.seconds * steps, step.memory_mb))
        parts: list[tuple[str, Classes]] = [(test.dataset, test.classes) for test in trial.tests]
        if trial.scores_together:
            parts.append((trial.dataset, "all"))
        for dataset, classes in parts:
            cost = self._classified(self._prompt(trial, dataset, classes, kept))
            scored = len(self.runner.data.part(dataset, classes).test)
            costs.append(_Cost(cost.seconds * scored, cost.memory_mb))
        seconds, memory = sum(cost.seconds for cost in costs), max(cost.memory_mb for cost in costs)
        return Estimate(images, len(learned_from.class_names), steps, seconds, memory)

    def view_seconds(self, trials: Iterable[Trial], done: Iterable[Trial] = ()) -> float:
        """Seconds to encode the training images of these trials: each view once, without the views of done trials."""
        there = self._views(done)
        return sum(
            max(0, count - there[view]) * self._image(view.dataset, view.seed is not None).seconds
            for view, count in self._views(trials).items()
        )

    def test_seconds(self, trials: Iterable[Trial], done: Iterable[Trial] = ()) -> float:
        """Seconds to encode the test images of these trials, without those of done trials."""
        wanted, there = ({(test.dataset, test.classes) for t in of for test in t.tests} for of in (trials, done))
        return sum(
            len(self.runner.data.part(dataset, classes).test) * self._image(dataset, False).seconds
            for dataset, classes in wanted - there
        )

    def _views(self, trials: Iterable[Trial]) -> Counter[_Views]:
        """How many views of each training image the trials take."""
        counts: Counter[_Views] = Counter()
        for trial in trials:
            learned_from = self.runner.data.training_set(trial)
            if not trial.shots or self.runner.learned_before(trial, learned_from):
                continue
            seed, count = None, 1
            if self._augmented(trial):
                seed = trial.settings.get("view_seed", trial.seed)
                count = min(_chosen(trial, "views"), _chosen(trial, "epochs"))
            for example in learned_from.train:
                view = _Views(trial.dataset, example.path, seed)
                counts[view] = max(counts[view], count)
        return counts

    def _augmented(self, trial: Trial) -> bool:
        augment = trial.settings.get("augment", "auto")
        return bool(self.runner.clip.augment if augment == "auto" else augment)

    def _prompt(self, trial: Trial, dataset: str, classes: Classes, images: int) -> _Prompt:
        return _Prompt(trial.method, dataset, classes, trial.settings.get("context_length"), images)

    def _model(self, prompt: _Prompt) -> Method:
        names = self.runner.data.part(prompt.dataset, prompt.classes).class_names
        random = {"context": None, "context_length": prompt.context_length} if prompt.context_length else {}
        with torch.random.fork_rng(devices=[]):
            model = METHODS[prompt.method](self.runner.clip, names, **random)
        if prompt.images:
            model.prepare(self._features(prompt.images), self._targets(prompt.images))
        return model

    def _time_step(self, prompt: _Prompt, batch_size: int) -> _Cost:
        """One step of training, recorded on a GPU as a run's steps are."""
        model = self._model(prompt)
        settings = model.recipe.optimizer_settings if model.recipe else {}
        step = recorded(Step(model, lr=1e-9, **settings), "auto")
        return self._cost(lambda: step(self._features(batch_size), self._targets(batch_size)), rounds=2)

    def _time_classified(self, prompt: _Prompt) -> _Cost:
        """Classifying one test image, of a whole batch."""
        model = self._model(prompt)
        whole = min(images_at_once(model), len(self.runner.data.part(prompt.dataset, prompt.classes).test))
        single = self._cost(lambda: model.probabilities(self._features(1)))
        count = max(1, min(whole, int(_PATIENCE / single.seconds)))
        at_rest = self._memory()
        part = self._cost(lambda: model.probabilities(self._features(count)))
        # Memory grows with the images of a batch.
        return _Cost(part.seconds / count, at_rest + (part.memory_mb - at_rest) * whole / count)

    def _time_image(self, dataset: str, augment: bool) -> _Cost:
        """Decoding and encoding one image."""
        read = self.runner.data.part(dataset, "all")
        paths = [example.path for example in (read.train if augment else read.test)[:_IMAGES]]
        clip = self.runner.clip
        if augment:
            order = range(len(paths))
            cost = self._cost(lambda: list(AugmentedFeatures(clip, paths, 0, epochs=1).batches(0, order, len(paths))))
        else:
            cost = self._cost(lambda: encode_pictures(clip, paths))
        return cost._replace(seconds=cost.seconds / len(paths))

    def _features(self, count: int) -> torch.Tensor:
        """Stand-ins [count, E] for what `CLIP.encode_images` gives."""
        clip = self.runner.clip
        dtype = torch.promote_types(clip.dtype, torch.float32)
        features = torch.ones(count, clip.embed_dim, device=clip.device, dtype=dtype)
        return features.div_(clip.embed_dim**0.5)

    def _targets(self, count: int) -> torch.Tensor:
        return torch.zeros(count, dtype=torch.long, device=self.runner.clip.device)

    def _cost(self, work: Callable[[], Any], rounds: int = 1) -> _Cost:
        """The mean of some rounds, after one that warms up."""
        self.runner.reset_peaks()
        work()
        self._wait()
        started = time.perf_counter()
        for _ in range(rounds):
            work()
        self._wait()
        return _Cost((time.perf_counter() - started) / rounds, self._peak())

    def _wait(self) -> None:
        if self.runner.clip.device.type == "cuda":
            torch.cuda.synchronize(self.runner.clip.device)

    def _memory(self) -> float:
        self.runner.reset_peaks()
        return self._peak()

    def _peak(self) -> float:
        peaks = self.runner.peaks()
        return peaks.peak_gpu_memory_mb or peaks.peak_memory_mb or 0.0


def _chosen(trial: Trial, name: str) -> int:
    """The trial's setting of that name, else that of its method's recipe, else 1; of views None is one per epoch."""
    number: int | None = trial.settings.get(name, getattr(METHODS[trial.method].recipe, name, 1))
    return _chosen(trial, "epochs") if number is None else number
