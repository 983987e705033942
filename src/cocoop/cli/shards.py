"""`--shards` of `cocoop predict` and `cocoop embed`, and the options beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.cli.common import print_json
from cocoop.cli.manners import stopped_by_hand
from cocoop.errors import InputError, RunError, expect_choice
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.shards import Runner, Tally, Work

RUNNERS = ("processes", "ray")

_SHOWN = 5  # shards that are named in an error

Out = Annotated[
    str | None,
    typer.Option(
        "--shards",
        metavar="DIR|URL",
        help="Into this folder, or a URL of an object store, a Parquet file for every shard: a .tar archive, a "
        ".parquet file, or so many pictures of a list. What is there is done; started again, it goes on.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--shard-size",
        min=1,
        metavar="N",
        help="With --shards: pictures of a shard where they are listed, 1000 by default; of a .parquet file its row "
        "groups together until they have as many rows.",
    ),
]
One = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="With --shards: every N-th shard from I on, 0 to N-1, as a job array has them: --shard 3/16.",
    ),
]
RunnerName = Annotated[
    str | None,
    typer.Option("--runner", metavar="processes|ray", help="With --shards: who works them. Default: processes."),
]
Jobs = Annotated[
    str | None,
    typer.Option(
        "--jobs", metavar="N|MIN:MAX", help="With --shards: how many at a time; Ray's actors may grow from MIN to MAX."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, metavar="N", help="With --shards: threads of torch in each job, and as many that decode."
    ),
]


@dataclass(frozen=True)
class Sharded:
    """What the options beside --shards say; `out` is None without it."""

    out: Out = None
    shard_size: Size = None
    shard: One = None
    runner: RunnerName = None
    jobs: Jobs = None
    threads: Threads = None


NO_SHARDS = Sharded()


def with_shards(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options in the place of its argument `sharded`."""

    @wraps(command)
    def run(**options: Any) -> None:
        given = {field.name: options.pop(_NAMES.get(field.name, field.name)) for field in fields(Sharded)}
        command(**options, sharded=Sharded(**given))

    ours = [
        one.replace(name=_NAMES.get(one.name, one.name), kind=Parameter.KEYWORD_ONLY)
        for one in signature(Sharded, eval_str=True).parameters.values()
    ]
    parameters: list[Parameter] = []
    for one in signature(command, eval_str=True).parameters.values():
        parameters += ours if one.name == "sharded" else [one.replace(kind=Parameter.KEYWORD_ONLY)]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


_NAMES = {"out": "shards"}
"""Field -> its name among the command's options, where that is another."""


def run_shards(
    sharded: Sharded, sources: Sequence[str], work: Callable[[int], Work], device: str, as_json: bool, features: bool
) -> None:
    """Work the shards of some sources, and say what came of them. `work` makes what is done, of a number of threads.

    `features`: whether files of features will do for pictures.
    """
    from cocoop.data import LeftOut
    from cocoop.shards import Job, Tally, output_folder, shards_of, work_shards

    assert sharded.out is not None
    runner, threads = _runner(sharded, device)
    part, of = _part(sharded.shard)
    place = sharded.out if "://" in sharded.out else os.path.abspath(sharded.out)
    folder, left_out = output_folder(place), LeftOut()
    folder.prepare()
    shards = shards_of(sources, folder, sharded.shard_size, left_out, features)[part::of]
    for text in left_out.notes():
        note(f"note: {text}")
    note(f"note: {len(shards):,} shards by {runner.told}")
    tally = Tally(len(shards))
    with stopped_by_hand(
        lambda _: f"note: stopped, {tally.done:,} of {tally.shards:,} shards are done; the same command goes on"
    ):
        work_shards(Job(work(threads), place), shards, runner, tally)
    _say(tally, sharded.out, as_json)


def _say(tally: Tally, out: str, as_json: bool) -> None:
    if as_json:
        names = ("shards", "before", "done", "rows", "errors")
        failed = [{"shard": shard.name, "stem": shard.stem, "error": reason} for shard, reason in tally.failed]
        print_json({"out": out} | {name: getattr(tally, name) for name in names} | {"set_aside": failed})
    else:
        print(
            f"{tally.done:,} of {tally.shards:,} shards ({tally.before:,} before), {tally.rows:,} rows, "
            f"{tally.errors:,} of them errors: {out}"
        )
    told = []
    if tally.failed:
        named = "; ".join(f"{shard.stem} ({reason.rstrip('.')})" for shard, reason in tally.failed[:_SHOWN])
        more = f" and {len(tally.failed) - _SHOWN:,} more" if len(tally.failed) > _SHOWN else ""
        told.append(
            f"{len(tally.failed):,} of {tally.shards:,} shards were set aside: {named}{more}; the same command tries "
            "them again."
        )
    if tally.errors:
        told.append(f"{tally.errors:,} of {tally.rows:,} pictures could not be read; their rows say why.")
    if told:
        raise RunError(" ".join(told))


def _runner(sharded: Sharded, device: str) -> tuple[Runner, int]:
    from cocoop.features import usable_cpus
    from cocoop.shards import Here, Processes, devices_for

    kind = sharded.runner or RUNNERS[0]
    expect_choice("--runner", kind, RUNNERS)
    fewest, most = _jobs(sharded.jobs)
    if kind == "ray":
        from cocoop.shards.on_ray import OnRay

        threads = sharded.threads or 1
        return OnRay(fewest, most, threads, device), threads
    if fewest != most:
        raise InputError(f"--jobs: expected one number for processes; got {sharded.jobs}. Only Ray's actors grow.")
    threads = sharded.threads or max(1, usable_cpus() // most)
    devices = devices_for(device, most)
    return (Processes(devices, threads) if most > 1 else Here(devices[0], threads)), threads


def _jobs(given: str | None) -> tuple[int, int]:
    fewest, _, most = (given or "1").partition(":")
    try:
        numbers = int(fewest), int(most or fewest)
    except ValueError:
        numbers = (0, 0)
    if not 1 <= numbers[0] <= numbers[1]:
        raise InputError(f"--jobs: expected a number of 1 or more, or MIN:MAX such as 2:8; got {given}.")
    return numbers


def _part(given: str | None) -> tuple[int, int]:
    part, _, of = (given or "0/1").partition("/")
    try:
        numbers = int(part), int(of)
    except ValueError:
        numbers = (0, 0)
    if not 0 <= numbers[0] < numbers[1]:
        raise InputError(f"--shard: expected I/N, I from 0 to N-1, such as 3/16; got {given}.")
    return numbers


def check_beside_shards(sharded: Sharded, beside: Mapping[str, Any]) -> None:
    """`InputError` for an option that --shards has no use for, or for one beside it where it is not given."""
    if sharded.out is None:
        for field in fields(Sharded)[1:]:
            if getattr(sharded, field.name) is not None:
                option = f"--{field.name.replace('_', '-')}"
                raise InputError(f"{option}: expected --shards beside it; got none. Add --shards DIR.")
        return
    for option, value in beside.items():
        if value:
            raise InputError(f"{option}: expected nothing beside --shards, which writes Parquet files; got {value}.")


def lasting(place: str) -> str:
    """A file or folder by its absolute path, which holds in other working directories; a name as it is."""
    return os.path.abspath(place) if os.path.exists(place) else place


def lasting_files(files: Sequence[Path] | None) -> tuple[Path, ...]:
    """The same of files."""
    return tuple(Path(os.path.abspath(file)) for file in files or ())
