"""`cocoop benchmark`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.cli.common import (
    AsJson,
    Clip,
    DataRoot,
    Device,
    Dtype,
    MemoryBudget,
    Plugins,
    Tokenizer,
    check_beside,
    print_json,
    split_names,
    split_numbers,
)
from cocoop.cli.manners import stopped_by_hand
from cocoop.cli.runners import By, Jobs, Only, RunnerName, Sbatch, Threads
from cocoop.errors import InputError
from cocoop.progress import note, say

if TYPE_CHECKING:
    from cocoop.data import Dataset
    from cocoop.protocols import Benchmark, Estimate, Trial
    from cocoop.workers import Failure


Protocol = Annotated[
    str,
    typer.Argument(
        metavar="PROTOCOL",
        help="base-to-new, cross-dataset, domain-generalization, few-shot or sensitivity.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where run folders go; runs that are there already are done. Default: cocoop-benchmark; of the smoke "
        "preset cocoop-smoke.",
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="paper|offline|smoke",
        help="paper: the papers' data sets, below --data-root. offline: data drawn here, for the bundled CLIP. "
        "smoke: a trial of the papers' on miniatures. Default: paper with --data-root, else offline.",
    ),
]
Datasets = Annotated[
    str | None,
    typer.Option(metavar="NAME,NAME,...", help="What to learn on: names, or anything that `train` takes."),
]
Targets = Annotated[
    str | None,
    typer.Option(metavar="NAME,NAME,...", help="cross-dataset, domain-generalization: what to test on."),
]
MethodNames = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME,...",
        help="Of those that `train` takes, a plugin's, too; or all, which leaves out what takes no new classes where "
        "they are all that is tested. Default: zero-shot,coop,cocoop.",
    ),
]
Baselines = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        help="base-to-new, few-shot: beside --methods run zero-shot, zero-shot-ensemble, zs-lp and clap, which take "
        "seconds, and compare each method with them.",
    ),
]
Shots = Annotated[str | None, typer.Option(metavar="N,N,...", help="Training images per class, such as 1,2,4,8,16.")]
Seeds = Annotated[str | None, typer.Option(metavar="N,N,...", help="Such as 1,2,3.")]
Epochs = Annotated[int | None, typer.Option(metavar="N", help="For all methods, instead of the papers'.")]
Views = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Random crops and flips of each image, taken in turn. Default: one per epoch, of zs-lp and clap 20; none "
        "of images that are drawn here, nor of your own if the CLIP's files say so.",
    ),
]
Calibrations = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="temperature|dac",
        help="base-to-new: score probabilities as they are and calibrated, too, by a temperature fitted on held-out "
        "images of base classes; dac also scales it for new classes, by how far learning has moved them.",
    ),
]
Conformal = Annotated[
    float | None,
    typer.Option(
        metavar="COVERAGE",
        help="base-to-new: sets of classes that hold the image's own with this probability, such as 0.9, by held-out "
        "images of base classes. It is guaranteed for base classes alone; what is measured on new ones is told.",
    ),
]
Search = Annotated[
    bool,
    typer.Option(
        "--search",
        help="Choose the settings of tip-adapter and tip-adapter-f on held-out images: the val split, or else images "
        "that are not learned from.",
    ),
]
SharedCache = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where image features are kept, which all runs share. Default: OUT/features."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the runs, with estimated time and memory; write nothing to --out.")
]


def benchmark(
    protocol: Protocol,
    out: Out = None,
    data_root: DataRoot = None,
    preset_name: PresetName = None,
    clip: Clip = "tiny",
    tokenizer: Tokenizer = None,
    datasets: Datasets = None,
    targets: Targets = None,
    methods: MethodNames = None,
    baselines: Baselines = True,
    shots: Shots = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    views: Views = None,
    search: Search = False,
    calibration: Calibrations = None,
    conformal: Conformal = None,
    feature_cache: SharedCache = None,
    runner: RunnerName = "processes",
    jobs: Jobs = None,
    threads: Threads = 1,
    sbatch: Sbatch = None,
    only: Only = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    dry_run: DryRun = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Carry out a protocol: methods x data sets x shots x seeds, by the papers' settings.

    Stopped or killed, the same command goes on where it was. A run that fails does not stop the others.

    Examples:
      cocoop benchmark base-to-new --data-root $DATA --clip openai/clip-vit-base-patch16
      cocoop benchmark few-shot --datasets photos/ --shots 1,4,16 --jobs 2 --dry-run
      cocoop benchmark base-to-new --calibration dac --conformal 0.9
      cocoop benchmark sensitivity --methods coop,zs-lp
      cocoop benchmark few-shot --datasets photos/ --runner slurm --sbatch "--partition=gpu --gres=gpu:1"
    """
    lists = {"datasets": datasets, "targets": targets, "methods": methods}
    changes: dict[str, Any] = {"epochs": epochs, "views": views, "baselines": baselines, "search": search or None}
    changes |= {"calibration": calibration, "coverage": conformal}
    machine = device, dtype, feature_cache, memory_budget, tokenizer, plugin or ()
    with stopped_by_hand(lambda _: "stopped; the same command goes on from here"):
        chosen = _chosen_preset(preset_name, data_root)
        out = _free(out or Path("cocoop-smoke" if chosen == "smoke" else "cocoop-benchmark"))
        by = By.checked(chosen == "smoke", runner, jobs, threads, sbatch, only)
        numbers = {"shots": split_numbers("--shots", shots), "seeds": split_numbers("--seeds", seeds)}
        trials = _trials(protocol, chosen, lists, changes | numbers, plugin or (), dry_run)
        with _gathered(trials, chosen == "smoke", data_root, out, dry_run) as data:
            trials = _within_reach(trials, data) if methods == "all" else trials
            _carry_out(trials, out, clip, data, machine, by, dry_run, as_json)


def _trials(
    protocol: str,
    chosen: str,
    lists: Mapping[str, str | None],
    changes: dict[str, Any],
    plugins: Sequence[Path],
    dry_run: bool,
) -> list[Trial]:
    """Those of a preset with what is given in its place; a note says what comes out where that is nothing."""
    from cocoop.methods.plugins import load_plugins
    from cocoop.protocols import narrowed, preset

    load_plugins(plugins)
    names = {name: _names(f"--{name}", line) for name, line in lists.items()}
    whole = preset(protocol, chosen)
    plan = narrowed(whole, **names, **changes)
    if plan == whole and not dry_run:
        note(f"expected of {plan.command}: {plan.expected}")
    return plan.trials(protocol)


def _carry_out(
    trials: Sequence[Trial],
    out: Path,
    clip: str,
    data: Mapping[str, Dataset],
    machine: tuple[Any, ...],
    by: By,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the trials, or estimate them; `machine` are the last fields of `Benchmark`."""
    from cocoop.protocols import Benchmark

    (_print_estimates if dry_run else _run)(
        Benchmark(trials, out, clip, data, *machine), by, _notes(clip, data), as_json
    )


def _within_reach(trials: Sequence[Trial], data: Mapping[str, Dataset]) -> list[Trial]:
    """The trials of all methods without those that cannot be; a note names their methods."""
    from cocoop.protocols import out_of_reach

    lost = out_of_reach(trials, data)
    if lost:
        methods = ", ".join(dict.fromkeys(trial.method for trial in lost))
        note(f"note: of all methods those are left out that are bound to the classes they learned: {methods}")
    return [trial for trial in trials if trial not in lost]


@contextmanager
def _gathered(
    trials: Sequence[Trial], smoke: bool, data_root: Path | None, out: Path, dry_run: bool
) -> Iterator[dict[str, Dataset]]:
    """The data sets of the trials. Those of the smoke preset are written here; a dry run leaves none of them."""
    from cocoop.protocols import gather, write_miniatures

    check_beside(out, [name for trial in trials for name in trial.data])
    with TemporaryDirectory() as away:
        if smoke:
            data_root = (Path(away) if dry_run else out) / "miniatures"
            write_miniatures([name for trial in trials for name in trial.data], data_root)
        yield gather(trials, data_root, out / "splits", keep=not dry_run)


def _chosen_preset(preset: str | None, data_root: Path | None) -> str:
    if preset == "smoke" and data_root is not None:
        raise InputError("--preset smoke: expected no --data-root, because it writes miniatures. Leave one out.")
    if preset == "paper" and data_root is None:
        raise InputError("--preset paper: expected --data-root DIR, the folder that holds the data sets; got none.")
    return preset or ("offline" if data_root is None else "paper")


def _names(option: str, given: str | None) -> tuple[str, ...]:
    return () if given is None else tuple(split_names(option, given))


def _free(out: Path) -> Path:
    if out.is_file():
        raise InputError(f"--out: expected a folder, new or of an earlier benchmark; {out} is a file. Choose another.")
    return out


def _notes(clip: str, datasets: Mapping[str, Dataset]) -> list[str]:
    """What to know before the figures, said on stderr, too."""
    from cocoop.protocols import for_photographs

    notes = [f"{name}: {text}" for name, dataset in datasets.items() for text in dataset.notes]
    notes += for_photographs(clip, datasets.values())
    for text in notes:
        note(f"note: {text}")
    return notes


def _run(benchmark: Benchmark, by: By, notes: list[str], as_json: bool) -> None:
    from cocoop.reports import cautions, format_tables, protocol_tables
    from cocoop.results import read_records

    done_before = len(benchmark.trials) - len(benchmark.open_trials())
    if done_before:
        note(f"{done_before:,} of {len(benchmark.trials):,} runs are done already")
    failures = by.carry_out(benchmark)
    folders = [benchmark.out / trial.folder for trial in benchmark.trials]
    records = [folder for folder in folders if (folder / "record.json").is_file()]
    read = read_records(records) if records else []
    tables, warnings = protocol_tables(read), cautions(read)
    if as_json:
        import json

        content = json.loads(format_tables(tables, "json")) if tables else []
        done = {"done": len(records), "failed": _told(failures)}
        print_json({"out": str(benchmark.out), **done, "tables": content, "cautions": warnings, "notes": notes})
    elif tables:
        print(format_tables(tables, "table", warnings))
    note(f"{len(records):,} of {len(benchmark.trials):,} runs are done: {benchmark.out / benchmark.trials[0].protocol}")
    for failure in failures:
        say(f"failed: {failure.task.folder}: {failure.reason}")
    if records:
        note(f"next: cocoop report {benchmark.out} --format html")
    if failures:
        raise typer.Exit(1)


def _told(failures: list[Failure[Trial]]) -> list[dict[str, str]]:
    return [{"run": str(failure.task.folder), "error": failure.reason} for failure in failures]


def _print_estimates(benchmark: Benchmark, by: By, notes: list[str], as_json: bool) -> None:
    from cocoop.progress import duration
    from cocoop.protocols import estimate
    from cocoop.reports import text_table

    todo, jobs = {trial.folder for trial in benchmark.open_trials()}, by.jobs or 1
    total, each = estimate(benchmark, jobs)
    rows = [_row(trial, trial.folder not in todo, cost) for trial, cost in zip(benchmark.trials, each, strict=True)]
    if as_json:
        estimated = {"estimated_seconds": total.seconds, "estimated_memory_mb": total.memory_mb}
        print_json({"runs": rows, **estimated, "notes": notes})
        return
    header = [name.replace("_", " ") for name in rows[0]]
    print(text_table(header, [[_shown(name, value) for name, value in row.items()] for row in rows]))
    print()
    print(
        f"{len(todo):,} of {len(rows):,} runs to do, {jobs} at a time: about {duration(total.seconds)} and "
        f"{total.memory_mb:,.0f} MB of memory. An estimate: single steps and batches, timed on this machine just now."
    )


def _row(trial: Trial, done: bool, estimate: Estimate) -> dict[str, Any]:
    return {
        "protocol": trial.protocol,
        "dataset": trial.dataset,
        "method": trial.method,
        "shots": trial.shots,
        "seed": trial.seed,
        **({"changed": ", ".join(trial.varied)} if trial.protocol == "sensitivity" else {}),
        "done": done,
        "images": estimate.images,
        "classes": estimate.classes,
        "steps": estimate.steps,
        "seconds": estimate.seconds,
        "memory_mb": estimate.memory_mb,
    }


def _shown(name: str, value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.1f}" if name == "seconds" else f"{value:,.0f}"
        case int() if name != "seed":
            return f"{value:,}"
    return str(value)
