"""Run folders, records, states of trainings, feature caches: what this package writes itself."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
import unicodedata
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path

import torch
from torch.nn.functional import normalize

from cocoop import CLIP, CoOp, PromptClassifier
from cocoop.classifier import Classifier
from cocoop.cli import main
from cocoop.evaluation import class_probabilities
from cocoop.features import FeatureStore, FixedFeatures, encode_pictures
from cocoop.reports import FORMATS, format_tables, html_report, protocol_tables, run_report
from cocoop.results import read_records
from cocoop.results.card import model_card
from cocoop.results.run_folder import read_config
from cocoop.training import Checkpoint, Identity, Validation, train

TESTS = Path(__file__).parents[2] / "tests"
sys.path.insert(0, str(TESTS))
photos, pages = import_module("own_photos"), import_module("report_pages")


@cache
def tiny() -> CLIP:
    """The bundled CLIP."""
    return CLIP.load("tiny", device="cpu")


@cache
def features(count: int = 6) -> torch.Tensor:
    """Unit-norm image features [count, E] of nothing."""
    return normalize(torch.randn(count, tiny().embed_dim, generator=torch.Generator().manual_seed(0)), dim=1)


def make_runs(folder: Path) -> None:
    """Runs of three methods, with predictions; those of older formats."""
    taken = photos.write_photos(folder.parent / "photos")
    for method in ("coop", "cocoop", "zero-shot"):
        learning = "" if method == "zero-shot" else "--epochs 2 --lr 0.1 --validate"
        sys.argv = ["cocoop", *f"train {taken} --out {folder / method} --method {method} --shots 2".split()]
        sys.argv += [*["--device", "cpu", "-q"], *learning.split()]
        with redirect_stdout(io.StringIO()):
            try:
                main()
            except SystemExit as ended:
                assert not ended.code, sys.argv
    images, labels = photos.labelled(8)
    run = PromptClassifier.load(folder / "cocoop")
    run.calibrate([image.rotate(3) for image in images], labels).save(folder / "calibrated")
    shutil.copytree(TESTS / "format_1" / "own", folder / "format-1")
    shutil.copytree(TESTS / "format_2" / "coop", folder / "format-2")


def read_run(folder: Path) -> None:
    """Classify, into the run's own classes and into others."""
    run = Classifier.load(folder, tiny())
    class_probabilities(run.inference(), features())
    repr(run)
    run.set_classes(["a", "b"])
    class_probabilities(run.inference(), features())
    if run.sample_ is not None:
        class_probabilities(run.inference(inference="tangent"), features())


def report_run(folder: Path) -> None:
    """Its page, its tables and its card."""
    records = read_records([folder])
    _check_page(run_report(records[0], "cocoop report"))
    check_tables(records)
    if (folder / "config.json").is_file():
        card = model_card(read_config(folder), records[0].content, [])
        check_markdown(card)


def make_benchmark(folder: Path) -> None:
    """Made-up runs of all protocols in one folder, and a run of format 1."""
    pages.write_runs(folder / "all")
    shutil.copytree(TESTS / "format_1" / "benchmark", folder / "format-1")


def report_all(folder: Path) -> None:
    """Tables of all formats, and the page."""
    records = read_records([folder])
    check_tables(records)
    _check_page(html_report(records, "cocoop report"))


def check_tables(records: list) -> None:  # type: ignore[type-arg]
    """What the tables hold can do nothing where it is opened."""
    tables = protocol_tables(records)
    texts = {form: format_tables(tables, form) for form in FORMATS}
    json.loads(texts["json"])
    for row in csv.reader(io.StringIO(texts["csv"], newline="")):
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), f"csv: {cell[:40]!a}"
            assert not cell.startswith("-") or re.fullmatch(r"-|-[\d.e+-]+", cell), f"csv: {cell[:40]!a}"
    check_terminal(texts["table"])
    check_markdown(texts["md"])
    assert not re.search(r"(?<!textbackslash\{\})\\(input|write|def|x)\b", texts["latex"]), "latex"
    check_terminal(texts["latex"])
    assert "<script" not in texts["html"], "html"


def check_terminal(text: str) -> None:
    """No letter moves the cursor, hides or turns what stands around it."""
    odd = {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}
    assert not odd, f"terminal: {sorted(odd)!a}"


def check_markdown(text: str) -> None:
    """No link, picture or element that a name brought."""
    assert not re.search(r"(?<!\\)\]\((?!https://)", re.sub(r"```.*?```", "", text, flags=re.S)), "markdown link"
    assert "<script" not in text, "markdown element"


def _check_page(page: str) -> None:
    parsed = pages.Page(page)
    assert not parsed.named("script"), "a script"
    for tag in ("a", "img", "image"):
        for attributes in parsed.named(tag):
            address = attributes.get("href") or attributes.get("src") or ""
            assert address.startswith(("#", "data:image/", "https://")), f"{tag} {address[:40]!a}"


_IDENTITY = Identity({"seed": 1, "lr": 0.1, "classes": photos.CLASSES}, {"training images": "a" * 64})


def _train(state: Path) -> None:
    torch.manual_seed(0)
    labels = [0, 1, 2, 0, 1, 2]
    train(
        CoOp(tiny(), photos.CLASSES),
        FixedFeatures(features()),
        labels,
        epochs=3,
        batch_size=3,
        seed=1,
        lr=0.1,
        validation=Validation(features(), labels, "best"),
        checkpoint=Checkpoint(state, _IDENTITY),
        on_epoch_end=[],
    )


def make_states(folder: Path) -> None:
    """A training's state after its last epoch."""
    (folder / "coop").mkdir(parents=True)
    _train(folder / "coop" / ".run.state")


def read_state(folder: Path) -> None:
    """Go on with it."""
    _train(folder / ".run.state")


def make_cache(folder: Path) -> None:
    """Features of some pictures."""
    store = FeatureStore(folder / "cache", tiny())
    encode_pictures(tiny(), photos.labelled(3)[0], store)


def read_cache(folder: Path) -> None:
    """Ask for features; damaged ones are computed again, so that what comes is finite."""
    images = photos.labelled(2)[0]
    found = encode_pictures(tiny(), images, FeatureStore(folder, tiny()))
    assert torch.allclose(found[list(range(len(images)))], _encoded(), atol=1e-5), "other features"


@cache
def _encoded() -> torch.Tensor:
    got = encode_pictures(tiny(), photos.labelled(2)[0])
    return got[list(range(len(got)))]
