"""The layers of DESIGN.md: imports go down only. And what `import cocoop` gives and costs."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cocoop

SOURCE = Path(cocoop.__file__).parent

BOTTOM = {"errors", "shapes", "class_names", "progress", "child"}
TORCH_FREE = BOTTOM | {"data", "results"}
MODELS = BOTTOM | {"weights", "clip", "methods"}
PARTS_OF_THE_CLASSIFIER = {"arguments", "labels", "saved", "fitting"}
MAY_IMPORT = {
    "errors": set(),
    "shapes": {"errors"},
    "class_names": {"errors"},
    "progress": set(),
    "child": set(),
    "weights": BOTTOM,
    "clip": BOTTOM | {"weights"},
    "data": BOTTOM,
    "results": BOTTOM,
    "methods": MODELS - {"methods"},
    "features": BOTTOM | {"clip", "data"},
    "training": MODELS | {"features"},
    "evaluation": MODELS | {"data", "features"},
    "arguments": MODELS | {"features", "training"},
    "labels": BOTTOM,
    "saved": MODELS | {"results", "training"},
    "fitting": MODELS | TORCH_FREE - {"results"} | {"features", "training", "arguments", "labels", "saved"},
    "classifier": MODELS | TORCH_FREE | {"features", "training", "evaluation"} | PARTS_OF_THE_CLASSIFIER,
    "estimator": BOTTOM | {"classifier"},
    "reports": TORCH_FREE,
    "protocols": MODELS | TORCH_FREE | {"features", "training", "evaluation", "classifier", "fitting"},
    "bench": MODELS | {"results", "features", "training"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
"""Part of the package -> the parts it may import."""

ALLOWED_OUTSIDE = {
    "errors": set(),
    "shapes": set(),
    "class_names": {"ftfy"},
    "progress": {"tqdm"},
    "child": set(),
    "results": {"numpy", "safetensors"},
    "data": {"PIL", "datasets", "matplotlib", "numpy", "scipy", "sklearn"},
    "reports": {"jinja2", "markupsafe", "matplotlib", "numpy", "PIL"},
    "weights": {"numpy", "safetensors", "torch"},
}
"""For the parts that must stay light: what they may import beside the standard library."""

FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its layer"
            # `from cocoop import x` would reach any layer through the package's own front.
            found |= {f"cocoop.{alias.name}" for alias in node.names} if node.module == "cocoop" else {node.module}
    return found


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


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


def test_the_rule_has_no_circle():
    """Independent of the files: the table itself is an order."""
    left = dict(MAY_IMPORT)
    while left:
        lowest = [part for part, below in left.items() if not below & left.keys()]
        assert lowest, f"a circle among {sorted(left)}"
        for part in lowest:
            del left[part]


def test_no_file_imports_torchvision_timm_open_clip_or_dassl():
    banned = {"torchvision", "timm", "open_clip", "dassl"}
    assert not {module for path in FILES for module in imported(path) if module.split(".")[0] in banned}


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
    found = getattr(cocoop, name)
    if name == "METHODS":
        assert {method.__name__ for method in found.values()} == {"ZeroShot", "CoOp", "CoCoOp"}
        return
    assert len(inspect.getdoc(found)) > 20
    if inspect.isclass(found) and found.__module__.startswith("cocoop"):
        methods = [key for key, value in vars(found).items() if inspect.isfunction(value) and not key.startswith("_")]
        assert [key for key in methods if not inspect.getdoc(getattr(found, key))] == []


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'Prompt'; it has CLIP, METHODS, "):
        _ = cocoop.Prompt
