"""`cocoop embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cocoop.cli.common import AsJson, Clip, Device, Dtype, FeatureCache, MemoryBudget, Tokenizer, print_json
from cocoop.cli.shards import NO_SHARDS, Sharded, check_beside_shards, lasting, run_shards, with_shards
from cocoop.errors import InputError, RunError
from cocoop.progress import note


@with_shards
def embed(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Pictures: files, folders, 'patterns/*.jpg', - (paths on stdin), @FILE (a path per line), "
            "TABLE:COLUMN (.csv, .jsonl, .parquet), .tar archives.",
        ),
    ],
    clip: Clip,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A new .parquet file, or .npy, with the names in FILE.keys.jsonl beside it."),
    ] = None,
    sharded: Sharded = NO_SHARDS,
    feature_cache: FeatureCache = None,
    tokenizer: Tokenizer = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    as_json: AsJson = False,
) -> None:
    """Write the image features of pictures, unit vectors, into a file that `cocoop predict` takes instead of pictures.

    Examples:
      cocoop embed photos/ --clip openai/clip-vit-base-patch16 --out photos.parquet
      cocoop embed shards/*.tar --clip ViT-B/16 --out shards.npy
      cocoop embed shards/*.tar --clip ViT-B/16 --shards features/ --jobs 4 --threads 8
    """
    check_beside_shards(sharded, {"--out": out, "--feature-cache": feature_cache})
    machine = {"tokenizer": tokenizer, "device": device, "dtype": dtype, "memory_budget": memory_budget}
    if sharded.out is not None:
        from cocoop.shards import Embedding

        run_shards(
            sharded,
            sources,
            lambda threads: Embedding(threads, machine, lasting(clip)),
            device,
            as_json,
            features=False,
        )
    elif out is None:
        raise InputError("embed: expected --out FILE or --shards DIR, where the features go; got neither. Add one.")
    else:
        _into_file(sources, clip, out, feature_cache, machine, as_json)


def _into_file(
    sources: list[str], clip: str, out: Path, feature_cache: Path | None, machine: dict[str, Any], as_json: bool
) -> None:
    from cocoop.clip import CLIP
    from cocoop.data import LeftOut
    from cocoop.features import FeatureStore
    from cocoop.progress import progress
    from cocoop.serving import encode, named_pictures, new_feature_file

    left_out = LeftOut()
    pictures = named_pictures(sources, left_out)
    loaded = CLIP.load(clip, **machine)
    store = None if feature_cache is None else FeatureStore(feature_cache, loaded)
    errors = count = 0
    with new_feature_file(out, loaded) as file:
        rows = (row for part in encode(loaded, pictures, store) for row in part)
        for row in progress(rows, "encoding", unit=" images"):
            file.add(row)
            count += 1
            errors += row.error is not None
        if not count:
            raise InputError(
                f"{', '.join(sources)}: expected pictures; got none. Name a folder or files that hold some."
            )
    for text in left_out.notes():
        note(f"note: {text}")
    if as_json:
        print_json({"out": str(out), "rows": count, "errors": errors, "numbers": loaded.embed_dim})
    else:
        print(f"{count - errors:,} features of {loaded.embed_dim:,} numbers: {out}")
    if errors:
        raise RunError(f"{errors:,} of {count:,} pictures could not be read; the file has no features of them.")
