"""`cocoop benchmark`."""

from __future__ import annotations

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
    note,
    print_json,
    split_names,
)

if TYPE_CHECKING:
    from cocoop.protocols import Benchmark, Estimate, Failure, Trial


def benchmark(
    protocol: Annotated[
        str, typer.Argument(help="base-to-new, cross-dataset, domain-generalization or few-shot.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where run folders go; runs that are there already are done. Default: cocoop-benchmark; of the smoke "
            "preset cocoop-smoke."
        ),
    ] = None,
    data_root: DataRoot = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper: the papers' data sets, below --data-root. offline: data drawn here, for the bundled CLIP. "
            "smoke: a trial of the papers' on miniatures. Default: paper with --data-root, else offline."
        ),
    ] = None,
    clip: Clip = "tiny",
    tokenizer: Tokenizer = None,
    datasets: Annotated[
        str | None, typer.Option(help="What to learn on, comma-separated: names, or anything that `train` takes.")
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="cross-dataset, domain-generalization: what to test on, comma-separated.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Of zero-shot,coop,cocoop, or a plugin's.")] = None,
    shots: Annotated[str | None, typer.Option(help="Training images per class, such as 1,2,4,8,16.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 1,2,3.")] = None,
    epochs: Annotated[int | None, typer.Option(help="For all methods, instead of the papers'.")] = None,
    views: Annotated[
        int | None,
        typer.Option(
            help="Random crops and flips of each image, taken in turn. Default: one per epoch. Images that are drawn "
            "here are learned as they are."
        ),
    ] = None,
    feature_cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where image features are kept, which all runs share. Default: OUT/features."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time, in processes of their own; one per GPU is right.")] = 1,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs, with estimated time and memory; write nothing to --out.")
    ] = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Carry out a protocol of the papers: methods x data sets x shots x seeds, by the papers' settings.

    Stopped or killed, the same command goes on where it was. A run that fails does not stop the others.

    Examples:
      cocoop benchmark base-to-new --data-root $DATA --clip openai/clip-vit-base-patch16
      cocoop benchmark base-to-new --data-root $DATA --clip openai/clip-vit-base-patch16 --dry-run
      cocoop benchmark few-shot --datasets photos/ --shots 1,4,16 --jobs 2
      cocoop benchmark cross-dataset
    """
    try:
        from cocoop.methods.plugins import load_plugins
        from cocoop.protocols import Benchmark, gather, narrowed, write_miniatures
        from cocoop.protocols import preset as named_preset

        plugins = tuple(plugin or ())
        load_plugins(plugins)
        chosen = _preset_name(preset, data_root)
        out = out or Path("cocoop-smoke" if chosen == "smoke" else "cocoop-benchmark")
        whole = named_preset(protocol, chosen)
        plan = narrowed(
            whole,
            _names("--datasets", datasets),
            _names("--targets", targets),
            methods=_names("--methods", methods),
            shots=_numbers("--shots", shots),
            seeds=_numbers("--seeds", seeds),
            epochs=epochs,
            views=views,
        )
        _check_options(jobs, out)
        trials = plan.trials(protocol)
        with TemporaryDirectory() as away:
            if chosen == "smoke":
                data_root = (Path(away) if dry_run else out) / "miniatures"
                write_miniatures([name for trial in trials for name in trial.data], data_root)
            data = gather(trials, data_root, out / "splits", keep=not dry_run)
            runs = Benchmark(trials, out, clip, data, device, dtype, feature_cache, memory_budget, tokenizer, plugins)
            _note_on_clip(clip, chosen)
            if dry_run:
                _print_estimates(runs, jobs, as_json)
            else:
                if plan == whole:
                    note(f"expected of {whole.command}: {whole.expected}")
                _run(runs, protocol, jobs, as_json)
    except KeyboardInterrupt:
        note("stopped; the same command goes on from here")
        raise typer.Exit(130) from None


def _preset_name(preset: str | None, data_root: Path | None) -> str:
    from cocoop.errors import InputError

    if preset == "smoke" and data_root is not None:
        raise InputError("--preset smoke: expected no --data-root, because it writes miniatures. Leave one out.")
    if preset == "paper" and data_root is None:
        raise InputError("--preset paper: expected --data-root DIR, the folder that holds the data sets; got none.")
    return preset or ("offline" if data_root is None else "paper")


def _names(option: str, given: str | None) -> tuple[str, ...]:
    return () if given is None else tuple(split_names(option, given))


def _numbers(option: str, given: str | None) -> tuple[int, ...]:
    from cocoop.errors import InputError

    try:
        return tuple(int(text) for text in _names(option, given))
    except ValueError as error:
        raise InputError(f"{option}: expected whole numbers, comma-separated, such as 1,2,3; got {given!r}.") from error


def _check_options(jobs: int, out: Path) -> None:
    from cocoop.errors import InputError

    if jobs < 1:
        raise InputError(f"--jobs: expected 1 or more; got {jobs}.")
    if out.is_file():
        raise InputError(f"--out: expected a folder, new or of an earlier benchmark; {out} is a file. Choose another.")


def _note_on_clip(clip: str, preset: str) -> None:
    if clip == "tiny" and preset == "paper":
        note("note: the bundled CLIP 'tiny' is for trials; for photographs add --clip openai/clip-vit-base-patch16")


def _run(benchmark: Benchmark, protocol: str, jobs: int, as_json: bool) -> None:
    from cocoop.reports import format_tables, protocol_tables, read_records

    done_before = len(benchmark.trials) - len(benchmark.open_trials())
    if done_before:
        note(f"{done_before:,} of {len(benchmark.trials):,} runs are done already")
    failures = benchmark.run(jobs)
    folders = [benchmark.out / trial.folder for trial in benchmark.trials]
    records = [folder for folder in folders if (folder / "record.json").is_file()]
    tables = protocol_tables(read_records(records)) if records else []
    if as_json:
        import json

        content = json.loads(format_tables(tables, "json")) if tables else []
        print_json({"out": str(benchmark.out), "done": len(records), "failed": _told(failures), "tables": content})
    elif tables:
        print(format_tables(tables, "table"))
    note(f"{len(records):,} of {len(benchmark.trials):,} runs are done: {benchmark.out / protocol}")
    for failure in failures:
        note(f"failed: {failure.trial.folder}: {failure.reason}")
    if records:
        note(f"next: cocoop report {benchmark.out} --format html")
    if failures:
        raise typer.Exit(1)


def _told(failures: list[Failure]) -> list[dict[str, str]]:
    return [{"run": str(failure.trial.folder), "error": failure.reason} for failure in failures]


def _print_estimates(benchmark: Benchmark, jobs: int, as_json: bool) -> None:
    from cocoop.protocols import estimate
    from cocoop.reports import text_table

    todo = {trial.folder for trial in benchmark.open_trials()}
    total, each = estimate(benchmark, jobs)
    rows = [_row(trial, trial.folder not in todo, one) for trial, one in zip(benchmark.trials, each, strict=True)]
    if as_json:
        print_json({"runs": rows, "estimated_seconds": total.seconds, "estimated_memory_mb": total.memory_mb})
        return
    header = [name.replace("_", " ") for name in rows[0]]
    print(text_table(header, [[_shown(name, value) for name, value in row.items()] for row in rows]))
    print()
    print(
        f"{len(todo):,} of {len(rows):,} runs to do, {jobs} at a time: about {_duration(total.seconds)} and "
        f"{total.memory_mb:,.0f} MB of memory. An estimate: single steps and batches, timed on this machine just now."
    )


def _row(trial: Trial, done: bool, estimate: Estimate) -> dict[str, Any]:
    return {
        "protocol": trial.protocol,
        "dataset": trial.dataset,
        "method": trial.method,
        "shots": trial.shots,
        "seed": trial.seed,
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


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} seconds" if minutes < 2 else f"{minutes:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"
