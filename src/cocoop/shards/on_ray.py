"""Ray Data as a runner: a data set of shards, not of pictures, mapped by a pool of actors, here or on a cluster."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch

from cocoop.errors import InputError, RunError, reason
from cocoop.shards.runners import Outcome
from cocoop.shards.shard import Shard
from cocoop.shards.work import Job, Line
from cocoop.workers import Failure, attempt, connected_ray

_DIED = "its worker died, perhaps for want of memory"


class OnRay:
    """A pool of `fewest` to `most` actors, each with `threads` CPUs; and a GPU if `device` is one or "auto" finds some.

    It is the cluster that `ray.init` was called for before, or that RAY_ADDRESS names; else one of this machine alone.
    """

    def __init__(self, fewest: int, most: int, threads: int, device: str) -> None:
        self.fewest, self.most, self.threads = fewest, most, threads
        self.ray, alone = connected_ray()
        there = self.ray.cluster_resources()
        self.gpus = int(device.startswith("cuda") or (device == "auto" and there.get("GPU", 0) > 0))
        asked = {"CPU": threads * fewest, "GPU": self.gpus * fewest}
        for kind, count in asked.items() if alone else ():  # another cluster may grow
            if there.get(kind, 0) < count:
                raise InputError(
                    f"--jobs: expected {count} {kind}s of this machine for {fewest} actors; Ray finds "
                    f"{there.get(kind, 0):g}. Ask for fewer jobs or threads."
                )

    @property
    def told(self) -> str:
        """See `Runner`."""
        actors = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        gpu = " and a GPU" if self.gpus else ""
        return f"{actors} actors of Ray, each with {self.threads} CPUs{gpu}"

    def made_of(self, job: Job) -> dict[str, Any]:
        """See `Runner`."""
        asked = self.ray.remote(num_cpus=self.threads, num_gpus=self.gpus)(_made_of).remote(job)
        try:
            made_of: dict[str, Any] = self.ray.get(asked)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error
        return made_of

    def work(self, job: Job, shards: Sequence[Shard]) -> Iterator[list[Outcome]]:
        """See `Runner`. A shard whose actor dies is named when all others have ended."""
        left = {shard.stem: shard for shard in shards}
        with self._tolerant():
            pool = self.ray.data.ActorPoolStrategy(
                min_size=min(self.fewest, len(shards)),
                max_size=min(self.most, len(shards)),
                max_tasks_in_flight_per_actor=1,  # a shard that waits for an actor would be lost with it
            )
            texts = [{"shard": json.dumps(shard)} for shard in shards]
            outcomes = self.ray.data.from_items(texts, override_num_blocks=len(texts)).map_batches(
                _Actor,
                fn_constructor_args=(job, self.threads),
                batch_size=1,
                compute=pool,
                num_cpus=self.threads,
                num_gpus=self.gpus,
                max_task_retries=0,  # a shard that kills its actor would kill one after the other
            )
            for row in outcomes.iter_rows():
                shard = left.pop(row["stem"])
                yield [_outcome(shard, json.loads(row["outcome"]))]
        yield [Failure(shard, _DIED) for shard in left.values()]

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Inside, a shard that is lost is left out of what comes back; and Ray shows no bars beside ours."""
        context = self.ray.data.DataContext.get_current()
        scaling = context.autoscaling_config
        before = context.max_errored_blocks, context.enable_progress_bars
        threshold = scaling.actor_pool_util_upscaling_threshold
        scaling.actor_pool_util_upscaling_threshold = 1.0  # all are at work: more than that they are never given
        context.max_errored_blocks, context.enable_progress_bars = -1, False
        try:
            with warnings.catch_warnings():
                # What is to come in place of `max_task_retries` there is not yet.
                warnings.filterwarnings("ignore", message=".*ray_remote_args")
                yield
        except self.ray.exceptions.RayError as error:
            raise RunError(f"ray: expected all shards to be tried; got {reason(error)}. Run the same again.") from error
        finally:
            context.max_errored_blocks, context.enable_progress_bars = before
            scaling.actor_pool_util_upscaling_threshold = threshold


class _Actor:
    """Works shards in a process of Ray's; one batch is one shard."""

    def __init__(self, job: Job, threads: int) -> None:
        torch.set_num_threads(threads)
        self.job = job

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        shard = _shard(str(batch["shard"][0]))
        outcome = attempt(self.job, shard)
        told = {"reason": outcome.reason} if isinstance(outcome, Failure) else asdict(outcome)
        return {"stem": [shard.stem], "outcome": [json.dumps(told)]}


def _shard(text: str) -> Shard:
    shard = Shard(*json.loads(text))
    return shard._replace(part=None if shard.part is None else (shard.part[0], shard.part[1]))


def _outcome(shard: Shard, told: dict[str, Any]) -> Outcome:
    return Failure(shard, told["reason"]) if "reason" in told else Line(**told)


def _made_of(job: Job) -> dict[str, Any]:
    return job.made_of
