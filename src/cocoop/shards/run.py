"""All shards of a command, by a runner: what is there is done; what fails three times is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

from cocoop.progress import counter
from cocoop.shards.outputs import done_of, set_aside
from cocoop.shards.places import output_folder
from cocoop.shards.runners import Outcome, Runner
from cocoop.shards.shard import Shard
from cocoop.shards.work import Job
from cocoop.workers import Failure

ATTEMPTS = 3
"""How often a shard is begun before it is set aside."""


@dataclass
class Tally:
    """What is there at the end, or so far.

    shards: how many there are. before: how many of them were done before. done: how many are. rows, errors: of these.
    failed: those that are not, with the reason of the last attempt; in the end they are set aside.
    """

    shards: int
    before: int = 0
    done: int = 0
    rows: int = 0
    errors: int = 0
    failed: list[Failure[Shard]] = field(default_factory=list)


def work_shards(job: Job, shards: Sequence[Shard], runner: Runner, tally: Tally) -> None:
    """Work the shards that are not done, and count in `tally`, which is right however this ends.

    Shards that fail are begun again when all others have been, `ATTEMPTS` times in all, and then set aside: the next
    call begins them anew.

    Raises:
        InputError: outputs are there that another command made. What the runner raises where nothing can be done.
    """
    folder = output_folder(job.out)
    folder.prepare()
    there = done_of(shards, folder, runner.made_of(job))
    stems = {done.shard.stem for done in there}
    tally.before = tally.done = len(there)
    tally.rows, tally.errors = sum(done.rows for done in there), sum(done.errors for done in there)
    left = [shard for shard in shards if shard.stem not in stems]
    with counter("shards", len(shards), " shards", delay=2, done=len(there)) as bar:
        for _ in range(ATTEMPTS):
            if not left:
                break
            tally.failed = []
            with closing(runner.work(job, left)) as outcomes:  # type: ignore[type-var]  # it is a generator
                for some in outcomes:
                    _count(some, tally)
                    bar.set_postfix_str(f"{tally.rows:,} rows", refresh=False)
                    bar.update(sum(not isinstance(outcome, Failure) for outcome in some))
                    bar.refresh()
            left = [failure.task for failure in tally.failed]
    set_aside(tally.failed, folder)


def _count(outcomes: Sequence[Outcome], tally: Tally) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            tally.failed.append(outcome)
        else:
            tally.done += 1
            tally.rows += outcome.rows
            tally.errors += outcome.errors
