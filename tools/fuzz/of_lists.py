"""Manifests, split files, lists of names, annotations of the papers; tables and archives of pictures; features."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path

from PIL import Image

from cocoop.cli.common import split_names
from cocoop.data import (
    PAPER_DATASETS,
    ImageError,
    LeftOut,
    read_class_names,
    read_dataset,
    read_paper_dataset,
    write_miniature,
)
from cocoop.errors import CocoopError
from cocoop.features import EncodedRow
from cocoop.serving import encode, named_pictures, new_feature_file, read_features
from cocoop.serving.rows import open_results
from cocoop.serving.tables import columns_of

from .of_runs import features, tiny

_PNG = ("a.png", "b.png", "c.png", "d.png")


def _pictures(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(_PNG):
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(folder / name)
    return folder


def make_lists(folder: Path) -> None:
    """Every form of a list of labelled images, beside its images."""
    rows = [("a.png", "cat", "train"), ("b.png", "dog", "train"), ("c.png", "cat", "test"), ("d.png", "dog", "test")]
    entries = [dict(zip(("path", "label", "split"), row, strict=True)) for row in rows]
    split = {
        name: [[r[0], int(r[1] == "dog"), r[1]] for r in rows if r[2] == name] for name in ("train", "val", "test")
    }
    lines = [",".join(row) for row in [("path", "label", "split"), *rows]]
    texts = {
        "list.csv": "\n".join(lines),
        "list.tsv": "\n".join(line.replace(",", "\t") for line in lines),
        "list.jsonl": "\n".join(map(json.dumps, entries)) + "\n",
        "list.json": json.dumps(split),
        "metadata.csv": "file_name,label\na.png,cat\nb.png,dog",
    }
    for name, text in texts.items():
        (_pictures(folder / name.replace(".", "-")) / name).write_text(text)


def read_list(folder: Path) -> None:
    """Read the data set."""
    listing = next(path for path in folder.iterdir() if path.suffix != ".png")
    dataset = read_dataset(folder if listing.name.startswith("metadata") else listing)
    repr(dataset)
    dataset.select("base")


def make_names(folder: Path) -> None:
    """Class names in both forms, and numbers that they name."""
    (folder / "names").mkdir(parents=True)
    (folder / "names" / "names.txt").write_text("cat\nred panda\nthree-toed_sloth\n")
    (folder / "names" / "names.json").write_text('["cat", "red panda", "three-toed_sloth"]')


def read_names(folder: Path) -> None:
    """As options take them, and as classes of a prompt."""
    for path in (folder / "names.txt", folder / "names.json"):
        names = split_names("--classes", f"@{path}")
        from cocoop import ZeroShot
        from cocoop.labels import new_classes

        ZeroShot(tiny(), new_classes(names, allow_equal=False)[1]).probabilities(features())
        read_class_names(path)


def make_papers(folder: Path) -> None:
    """The annotations of the papers' data sets, with and without split files."""
    for split_file in (False, True):
        for name in PAPER_DATASETS:
            write_miniature(name, folder / f"{name}-{split_file}", 4, split_file)


def read_paper(folder: Path) -> None:
    """Read it."""
    dataset = read_paper_dataset(folder.name.partition("-")[0], folder)
    if dataset.train:
        dataset.select("base")


def make_tables(folder: Path) -> None:
    """Tables of pictures, lists of paths and archives."""
    import pyarrow
    from pyarrow import parquet

    content = [(Path(name), _bytes_of(number)) for number, name in enumerate(_PNG)]
    texts = {
        "t.csv": "image,text\n" + "".join(f"{name},x\n" for name in _PNG),
        "t.jsonl": "".join(json.dumps({"image": name, "text": "x"}) + "\n" for name in _PNG),
        "list.txt": "".join(f"{name}\n" for name in _PNG),
    }
    for name, text in texts.items():
        (_pictures(folder / name.replace(".", "-")) / name).write_text(text)
    for form in ("paths", "bytes", "both"):
        cells = [
            {"paths": str(path), "bytes": data, "both": {"bytes": data, "path": str(path)}}[form]
            for path, data in content
        ]
        (folder / form).mkdir()
        parquet.write_table(pyarrow.table({"image": cells}), folder / form / "t.parquet")
    for ending in ("tar", "tar.gz"):
        (folder / ending).mkdir()
        with tarfile.open(folder / ending / f"t.{ending}", "w:gz" if ending == "tar.gz" else "w") as archive:
            for path, data in content:
                info = tarfile.TarInfo(path.name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def _bytes_of(number: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(written, "PNG")
    return written.getvalue()


def read_table(folder: Path) -> None:
    """Encode the pictures that it names; a row that is an error is an answer."""
    table = next(path for path in folder.iterdir() if path.suffix != ".png")
    if table.suffix in (".csv", ".jsonl", ".parquet"):
        columns_of(table)
        source = f"{table}:image"
    else:
        source = f"@{table}" if table.suffix == ".txt" else str(table)
    for part in encode(tiny(), named_pictures([source], LeftOut()), workers=1, processes=0):
        for row in part:
            assert row.error is None or isinstance(row.error, CocoopError)


def make_feature_files(folder: Path) -> None:
    """What `cocoop embed` writes."""
    for ending in ("npy", "parquet"):
        with new_feature_file(folder / ending / f"x.{ending}", tiny()) as file:
            for number, feature in enumerate(features()):
                file.add(EncodedRow(f"{number}.png", feature, None))
            file.add(EncodedRow("bad.png", None, ImageError("damaged")))


def read_feature_file(folder: Path) -> None:
    """Take the features of all its rows."""
    from cocoop.serving import feature_files

    path = next(path for path in sorted(folder.iterdir()) if not path.name.endswith(".keys.jsonl"))
    if feature_files(str(path)):
        for part in read_features(str(path), tiny()):
            for row in part:
                assert isinstance(row.key, str), "a key that is no text"
                assert row.feature is None or row.feature.shape == (tiny().embed_dim,), "a feature of another size"


def make_results(folder: Path) -> None:
    """Predictions that a stopped command left."""
    from cocoop import Predictor
    from cocoop.serving.tables import Named

    predictor = Predictor.zero_shot("tiny", ["cat", "dog"], device="cpu", top=2)
    for form in ("csv", "jsonl"):
        place = _pictures(folder / form)
        with open_results(form, place / f"out.{form}", 2, False, False, tiny()) as results:
            for row in predictor.stream([Named(name, str(place / name)) for name in (*_PNG, "none.png")]):
                results.write(row)


def go_on_with_results(folder: Path) -> None:
    """As `cocoop predict --resume`."""
    form = folder.name
    with suppress(FileNotFoundError), open_results(form, folder / f"out.{form}", 2, False, True, tiny()) as results:
        [results.lacks(name) for name in _PNG]


def make_saved(folder: Path) -> None:
    """What `save_to_disk` of the `datasets` package writes."""
    import datasets

    parts = {"image": [Image.new("RGB", (8, 8), (60 * i, 0, 0)) for i in range(4)], "label": [0, 1, 0, 1]}
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    made = datasets.Dataset.from_dict(parts, kinds)
    made.save_to_disk(str(folder / "one"))
    datasets.DatasetDict(train=made, test=made).save_to_disk(str(folder / "splits"))


def read_saved(folder: Path) -> None:
    """Read the data set; its pictures become files."""
    pictures = folder.parent / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    read_dataset(folder, root=pictures)
