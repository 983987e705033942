"""`cocoop predict`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cocoop.cli.common import (
    AnyClip,
    AsJson,
    Classes,
    Device,
    Dtype,
    ExifOption,
    FeatureCache,
    InferenceOption,
    MemoryBudget,
    Plugins,
    Shortlist,
    Tokenizer,
    split_names,
)
from cocoop.cli.shards import NO_SHARDS, Sharded, check_beside_shards, lasting, lasting_files, run_shards, with_shards
from cocoop.errors import InputError, RunError
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.data import LeftOut
    from cocoop.serving import Prediction, Predictor, Results
    from cocoop.shards import Work

_OF_A_RUN = ("config.json", "record.json", "prompt.safetensors")


RunAndSources = Annotated[
    list[str],
    typer.Argument(
        metavar="[RUN] SOURCE",
        help="A run folder, as `cocoop train --out` leaves it, one of the hub (owner/name[@revision]), or what `cocoop "
        "export` wrote (without one, --clip and --classes: zero-shot), and pictures: files, folders, 'patterns/*.jpg', "
        "- (paths on stdin), @FILE (a path per line), TABLE:COLUMN (.csv, .jsonl, .parquet), .tar archives; "
        "or features that `cocoop embed` wrote.",
    ),
]
Top = Annotated[int, typer.Option(min=1, help="Give this many classes per image, best first.")]
Threshold = Annotated[
    float, typer.Option(min=0, max=1, metavar="P", help="Where the best class is less probable, 0..1: none of these.")
]
ResultsFormat = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="table|csv|jsonl|parquet", help="Of the rows. Default: by the ending of --out, or table."
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rows to this new file, as they are made.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with a CSV or JSONL file of --out: what is in it is not done again.")
]
Embeddings = Annotated[
    bool, typer.Option("--embeddings", help="Add the image feature to each row (jsonl and parquet).")
]


@with_shards
def predict(
    run_and_sources: RunAndSources,
    classes: Classes = None,
    top: Top = 1,
    threshold: Threshold = 0.0,
    results_format: ResultsFormat = None,
    out: Out = None,
    resume: Resume = False,
    embeddings: Embeddings = False,
    sharded: Sharded = NO_SHARDS,
    inference: InferenceOption = "exact",
    shortlist: Shortlist = None,
    exif: ExifOption = None,
    feature_cache: FeatureCache = None,
    clip: AnyClip = None,
    tokenizer: Tokenizer = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Classify pictures: prints file, class and probability in percent, separated by tabs.

    With --out that goes into a file, and its name, rows and errors are printed. A picture that cannot be read is a row
    with its error; the others go on, and the exit code is 1.

    Examples:
      cocoop predict my-run *.jpg
      cocoop predict owner/name photo.jpg
      cocoop predict my-run photo.jpg --classes "cat,dog,red panda" --top 3
      cocoop predict my-run photos/ --out predictions.csv --threshold 0.5
      cocoop predict my-run photos/ --out predictions.csv --threshold 0.5 --resume
      cocoop predict my-run table.csv:path --out predictions.parquet --embeddings
      cocoop predict my-run photos/ --out predictions.csv --inference tangent
      cocoop predict my-run shards/*.tar --shards predictions/ --jobs 4 --threads 2
      cocoop predict --clip openai/clip-vit-base-patch16 --classes "cat,dog" *.jpg
    """
    beside = {"--out": out, "--format": results_format, "--resume": resume, "--feature-cache": feature_cache}
    check_beside_shards(sharded, beside)
    machine: dict[str, Any] = {"tokenizer": tokenizer, "device": device, "dtype": dtype, "memory_budget": memory_budget}
    answers: dict[str, Any] = {"top": top, "threshold": threshold, "shortlist": shortlist, "inference": inference}
    answers["exif"] = exif
    rows = None if sharded.out is not None else _Rows.checked(as_json, results_format, out, top, embeddings, resume)
    run, sources = _run_and_sources(run_and_sources, clip, classes)
    names = None if classes is None else split_names("--classes", classes, at_least=2)
    if rows is None:
        given = (run and lasting(run), names, clip and lasting(clip), answers, embeddings, lasting_files(plugin))
        run_shards(sharded, sources, partial(_predicting, machine, given), device, as_json, features=True)
    else:
        others = machine | answers | {"feature_cache": feature_cache}
        _predict(sources, rows, plugin or (), lambda: _predictor(run, names, clip, embeddings, others))


class _Rows(NamedTuple):
    """Where rows go."""

    form: str
    out: Path | None
    top: int
    embeddings: bool
    resume: bool

    @classmethod
    def checked(
        cls, as_json: bool, given: str | None, out: Path | None, top: int, embeddings: bool, resume: bool
    ) -> _Rows:
        """`InputError` for what cannot be written."""
        from cocoop.serving import check_results, format_of

        form = "json" if as_json else format_of(given, out)
        check_results(form, out, embeddings, resume)
        return cls(form, out, top, embeddings, resume)


def _predict(sources: Sequence[str], rows: _Rows, plugins: Sequence[Path], load: Callable[[], Predictor]) -> None:
    """Predict the pictures of some sources, in this process."""
    from cocoop.data import LeftOut
    from cocoop.methods.plugins import load_plugins
    from cocoop.serving import RESUMABLE, open_results

    left_out = LeftOut()
    rows_of = _rows_of(sources, left_out)
    load_plugins(plugins)
    predictor = load()
    with open_results(*rows, predictor.encoder_) as results:
        _write(rows_of(predictor, results), results, sources, rows.out is not None and rows.form in RESUMABLE)
    if rows.out is not None:
        print(f"{results.count:,} rows, {results.errors:,} of them errors: {rows.out}")
    for text in filter(None, [predictor.inference_, *left_out.notes()]):
        note(f"note: {text}")
    if results.errors:
        raise RunError(f"{results.errors:,} of {results.count:,} pictures could not be read; their rows say why.")


def _predicting(machine: dict[str, Any], given: tuple[Any, ...], threads: int) -> Work:
    from cocoop.shards import Predicting

    return Predicting(threads, machine, *given)


@contextmanager
def _stopped_by_hand(results: Results, resumable: bool) -> Iterator[None]:
    """After Ctrl-C say how to go on, and end with the exit code of a command that was interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        rows = f" after {results.count:,} rows; the same command with --resume goes on" if resumable else ""
        note(f"note: stopped{rows}")
        raise typer.Exit(130) from None


def _run_and_sources(given: Sequence[str], clip: str | None, classes: str | None) -> tuple[str | None, Sequence[str]]:
    """Without a run, CLIP and classes are said, and what comes first is a source."""
    if clip is not None and classes is not None and not _has_run(given):
        return None, given
    if len(given) == 1:
        raise InputError(
            f"predict: expected a run folder and then pictures; got {given[0]} alone. Name both; or, for zero-shot "
            "without a run, --clip, --classes and pictures."
        )
    from cocoop.sharing import found_run

    return str(found_run(given[0])), given[1:]


def _has_run(given: Sequence[str]) -> bool:
    """Whether a run or an exported model comes first, or what is not here and written like one of the hub."""
    from cocoop.clip.sources.hub import is_hub_id
    from cocoop.data import IMAGE_SUFFIXES
    from cocoop.serving import is_exported

    first, *sources = given
    if os.path.lexists(first):
        return is_exported(first) or any(os.path.exists(Path(first) / name) for name in _OF_A_RUN)
    return bool(sources) and is_hub_id(first) and Path(first).suffix.lower() not in IMAGE_SUFFIXES


def _rows_of(sources: Sequence[str], left_out: LeftOut) -> Callable[[Predictor, Results], Iterator[Prediction]]:
    """What predicts the pictures, or the features, of these sources, and passes over those whose rows are there."""
    from cocoop.serving import feature_files, named_pictures, read_features

    encoded = {source: files for source in sources if (files := feature_files(source))}
    if not encoded:
        pictures = named_pictures(sources, left_out)
        return lambda predictor, results: predictor.stream(named for named in pictures if results.lacks(named.key))
    if len(encoded) < len({*sources}):
        raise InputError(
            f"{next(iter(encoded))}: expected files of features only, beside each other; got pictures, too."
        )

    def rows(predictor: Predictor, results: Results) -> Iterator[Prediction]:
        readers = (read_features(file, predictor.clip_) for source in sources for file in encoded[source])
        return predictor.stream_features(
            [row for row in part if results.lacks(row.key)] for reader in readers for part in reader
        )

    return rows


def _predictor(
    run: str | None, names: Sequence[str] | None, clip: str | None, embeddings: bool, others: dict[str, Any]
) -> Predictor:
    from cocoop.serving import Predictor

    if run is None:
        predictor = Predictor.zero_shot(clip, names or (), **others)
        note(f"note: zero-shot, with the prompt {predictor.templates[0]!r}")
        return predictor
    predictor = Predictor.load(run, names, clip=clip, **others)
    if embeddings:
        _ = predictor.clip_  # which an exported model may not have
    return predictor


def _write(rows: Iterator[Prediction], results: Results, sources: Sequence[str], resumable: bool) -> None:
    from cocoop.progress import progress

    with _stopped_by_hand(results, resumable):
        for row in progress(rows, "predicting", unit=" images"):
            results.write(row)
    if not results.count:
        raise InputError(f"{', '.join(sources)}: expected pictures; got none. Name some, or a folder that holds some.")
