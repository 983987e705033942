"""The layers of DESIGN.md: imports go down only, between rooms and inside. And what `import cocoop` gives and costs."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import cocoop

SOURCE = Path(cocoop.__file__).parent

BOTTOM = {
    "escapes",
    "reading",
    "errors",
    "shapes",
    "pipes",
    "class_names",
    "progress",
    "child",
    "atomic",
    "rgb",
    "framing",
}
TORCH_FREE = BOTTOM | {"data", "results"}
MODELS = BOTTOM | {"weights", "clip", "methods"}
PARTS_OF_THE_CLASSIFIER = {"arguments", "labels", "saved", "sharing", "fitting", "callbacks", "loggers", "old_names"}
MAY_IMPORT = {
    "escapes": set(),
    "reading": set(),
    "errors": {"escapes"},
    "shapes": {"errors"},
    "pipes": set(),
    "class_names": {"errors"},
    "progress": {"escapes"},
    "child": set(),
    "atomic": {"errors"},
    "workers": {"errors", "progress", "child"},
    "rgb": {"errors"},
    "framing": set(),
    "ranks": {"errors", "progress"},
    "weights": BOTTOM,
    "clip": BOTTOM | {"weights"},
    "data": BOTTOM,
    "results": BOTTOM,
    "methods": MODELS - {"methods"},
    "features": BOTTOM | {"ranks", "clip", "data"},
    "evaluation": MODELS | {"data", "features", "results"},
    "training": MODELS | {"ranks", "features", "results", "evaluation"},
    "arguments": MODELS | {"features", "training"},
    "labels": BOTTOM,
    "callbacks": BOTTOM | {"results"},
    "loggers": BOTTOM | {"results", "callbacks"},
    "learning": MODELS | {"ranks", "results", "features", "training", "arguments", "labels"},
    "identity": MODELS | {"ranks", "results", "training", "learning"},
    "fitting": MODELS
    | TORCH_FREE
    | {"ranks", "features", "training", "arguments", "labels", "learning", "identity", "callbacks"},
    "saved": MODELS | {"results", "arguments", "identity", "fitting"},
    "sharing": BOTTOM | {"weights", "clip", "data", "results"},
    "old_names": set(),
    "fitted": MODELS | {"results", "features", "evaluation", "arguments", "labels", "fitting"},
    "classifier": MODELS
    | TORCH_FREE
    | {"ranks", "features", "training", "evaluation", "fitted"}
    | PARTS_OF_THE_CLASSIFIER,
    "estimator": BOTTOM | {"classifier", "old_names"},
    "serving": MODELS | {"data", "results", "features", "evaluation", "fitting", "labels", "classifier", "sharing"},
    "web": MODELS
    | {
        "data",
        "results",
        "features",
        "training",
        "fitting",
        "callbacks",
        "classifier",
        "sharing",
        "serving",
        "workers",
    },
    "official": MODELS | {"results", "arguments", "labels", "fitting", "classifier"},
    "shards": BOTTOM | {"clip", "data", "methods", "features", "serving", "workers"},
    "reports": TORCH_FREE,
    "protocols": MODELS
    | TORCH_FREE
    | {
        "features",
        "training",
        "evaluation",
        "labels",
        "classifier",
        "fitting",
        "arguments",
        "callbacks",
        "loggers",
        "workers",
    },
    "explain": MODELS
    | TORCH_FREE
    | {"features", "evaluation", "labels", "classifier", "serving", "reports", "protocols"},
    "doctor": MODELS | {"data", "results", "features"},
    "bench": MODELS | {"data", "results", "features", "training"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
MAY_IMPORT["__main__"] = {"cli"}
"""Part of the package -> the parts it may import."""

IMAGES = {"examples", "split", "dataset"}
TABLES = {"cells", "groups", "layout", "rounding"}
INSIDE = {
    "clip": {
        "activations": set(),
        "fill": set(),
        "precision": set(),
        "text": {"activations", "fill"},
        "image": {"activations", "fill"},
        "sources": {"text", "image"},
        "model": {"precision", "text", "image", "sources"},
        "describe": {"model", "text"},
    },
    "data": {
        "cache": set(),
        "examples": set(),
        "formats": set(),
        "left_out": {"formats"},
        "images": {"formats"},
        "fingerprint": {"images"},
        "store": {"images"},
        "base_new": {"examples"},
        "few_shot": {"examples"},
        "split": {"examples"},
        "dataset": {"base_new", "examples", "split"},
        "own": IMAGES,
        "places": set(),
        "columns": set(),
        "names": IMAGES,
        "folder": IMAGES | {"own", "formats", "left_out"},
        "manifest": IMAGES | {"own", "places", "columns"},
        "hugging_face": IMAGES | {"own", "store"},
        "papers": IMAGES,
        "drawn": IMAGES,
        "words": IMAGES | {"drawn", "papers"},
        "sources": IMAGES
        | {"cache", "own", "names", "places", "folder", "manifest", "hugging_face", "papers", "drawn", "store"},
    },
    "serving": {
        "parquet": set(),
        "tables": set(),
        "pictures": {"tables"},
        "encode": {"tables"},
        "exported": set(),
        "predictor": {"encode", "exported", "tables"},
        "export": {"exported", "predictor"},
        "feature_files": {"parquet"},
        "text_rows": {"predictor"},
        "rows": {"parquet", "predictor", "text_rows"},
    },
    "web": {
        "limits": set(),
        "batching": set(),
        "models": set(),
        "schema": set(),
        "guard": set(),
        "forms": {"limits"},
        "training": set(),
        "trainer": {"training", "models"},
        "app": {"batching", "forms", "guard", "training", "limits", "models", "schema", "trainer"},
        "start": {"app", "batching", "limits", "models", "trainer"},
    },
    "shards": {
        "places": set(),
        "identity": set(),
        "shard": {"places"},
        "listing": {"places", "shard"},
        "work": {"identity", "places", "shard"},
        "outputs": {"places", "shard", "work"},
        "runners": {"shard", "work"},
        "on_ray": {"runners", "shard", "work"},
        "run": {"outputs", "places", "runners", "shard", "work"},
    },
    "reports": {
        "cells": set(),
        "rounding": {"cells"},
        "groups": {"cells"},
        "commands": {"groups"},
        "base_to_new": {"cells"},
        "layout": {"cells", "groups", "rounding"},
        "latex": TABLES,
        "comparison": TABLES,
        "cautions": TABLES,
        "reliability": TABLES,
        "sensitivity": TABLES | {"comparison"},
        "protocol_tables": TABLES | {"comparison", "reliability", "sensitivity"},
        "page": TABLES | {"cautions", "commands", "protocol_tables"},
        "formats": TABLES | {"latex", "page"},
    },
}
"""Room -> its files and folders -> those of the same room that each may import. Its `__init__.py` may import all."""

ALLOWED_OUTSIDE = {
    "escapes": set(),
    "reading": set(),
    "errors": {"escapes"},
    "shapes": set(),
    "pipes": set(),
    "class_names": {"ftfy"},
    "progress": {"tqdm"},
    "child": set(),
    "atomic": set(),
    "rgb": {"numpy", "PIL"},
    "framing": {"PIL"},
    "results": {"PIL", "filelock", "matplotlib", "numpy", "safetensors", "scipy"},
    "data": {"PIL", "datasets", "filelock", "matplotlib", "numpy", "pillow_heif", "scipy", "sklearn"},
    "reports": {"jinja2", "markupsafe", "matplotlib", "numpy", "PIL"},
    "weights": {"numpy", "safetensors", "torch"},
}
"""For the parts that must stay light: what they may import beside the standard library."""

FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def module_of(path: Path) -> str:
    """`cocoop.data` for `data/__init__.py`, `cocoop.data.own` for `data/own.py`."""
    return ".".join(["cocoop", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}


def imported(path: Path) -> set[str]:
    """Every module that a file imports: at its top, inside a function, or for type checkers alone."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its layer"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from cocoop import x` would reach any layer through the package's own front.
            modules |= names if node.module == "cocoop" else names & MODULES
            modules |= set() if names <= modules else {node.module}
    return modules


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def sub_part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[1].removesuffix(".py")


def test_the_rule_covers_every_part():
    assert {part_of(path) for path in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_only(path):
    part = part_of(path)
    own = {module.split(".")[1] for module in imported(path) if module.startswith("cocoop.")} - {part}
    assert own <= MAY_IMPORT[part]
    if part in ALLOWED_OUTSIDE:
        outside = {module.split(".")[0] for module in imported(path)} - {"cocoop"} - sys.stdlib_module_names
        assert outside <= ALLOWED_OUTSIDE[part]


@pytest.mark.parametrize("room", INSIDE)
def test_imports_inside_a_room_go_down_only(room):
    files = [path for path in FILES if part_of(path) == room and path != SOURCE / room / "__init__.py"]
    assert {sub_part_of(path) for path in files} == set(INSIDE[room])
    for path in files:
        inside = [module.split(".") for module in imported(path) if module.startswith(f"cocoop.{room}")]
        assert all(len(names) > 2 for names in inside), f"{path} imports the front of its own room"
        assert {names[2] for names in inside} - {sub_part_of(path)} <= INSIDE[room][sub_part_of(path)], path


@pytest.mark.parametrize("rule", [MAY_IMPORT, *INSIDE.values()], ids=["rooms", *INSIDE])
def test_the_rules_have_no_circle(rule):
    """Independent of the files: each table itself is an order."""
    assert set().union(*rule.values()) <= set(rule)
    TopologicalSorter(rule).prepare()  # raises CycleError


def test_the_modules_have_no_circle():
    """An edge is an import that is written down; that Python runs the `__init__.py` above a module first is none."""
    TopologicalSorter({module_of(path): imported(path) & MODULES for path in FILES}).prepare()  # raises CycleError


def test_no_file_imports_torchvision_timm_open_clip_or_dassl():
    banned = {"torchvision", "timm", "open_clip", "dassl"}
    assert not {module for path in FILES for module in imported(path) if module.split(".")[0] in banned}


def test_every_library_that_is_imported_is_a_declared_dependency():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [
        *project["dependencies"],
        *extras["hf-datasets"],
        *extras["heic"],
        *extras["parquet"],
        *extras["cluster"],
        *extras["serve"],
    ]
    declared = {re.match(r"[\w-]+", name)[0].lower().replace("_", "-") for name in required}
    modules = {module.split(".")[0] for path in FILES for module in imported(path)} - sys.stdlib_module_names
    owners = packages_distributions()
    needed = {owners.get(module, [module])[0].lower().replace("_", "-") for module in modules - {"cocoop"}}
    assert needed <= declared


def test_pickle_is_imported_for_the_restricted_reader_alone():
    assert [path for path in FILES if "pickle" in imported(path)] == [SOURCE / "weights" / "unpickle.py"]


def test_import_is_lazy_and_every_name_works_from_a_fresh_start():
    code = (
        "import sys, cocoop\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(cocoop.__all__) <= set(dir(cocoop))\n"
        "cocoop.InputError, cocoop.Example, cocoop.base_to_new, cocoop.__version__\n"
        "assert 'torch' not in sys.modules\n"
        "from cocoop import *\n"
        "assert PromptClassifier is cocoop.PromptClassifier\n"
        "assert 'transformers' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", cocoop.__all__)
def test_every_public_name_is_documented(name):
    value = getattr(cocoop, name)
    if name == "METHODS":
        assert {method.__name__ for method in value.values()} >= {"ZeroShot", "CoOp", "CoCoOp"}
        return
    assert len(inspect.getdoc(value)) > 20
    if inspect.isclass(value) and value.__module__.startswith("cocoop"):
        methods = [key for key, member in vars(value).items() if inspect.isfunction(member) and not key.startswith("_")]
        assert [key for key in methods if not inspect.getdoc(getattr(value, key))] == []


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'Prompt'; it has CLAP, CLIP, "):
        _ = cocoop.Prompt
