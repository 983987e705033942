"""Files of a user that register a method: run once each, or refused in one line and without a trace."""

import pickle
import sys
from pathlib import Path

import pytest
import torch

from cocoop import METHODS, InputError, PromptClassifier
from cocoop.methods.plugins import load_plugins

PLUGIN = """
import cocoop

class Mine(cocoop.ConditionalPrompts):
    def __init__(self, clip, class_names, pull={pull}, **others):
        super().__init__(clip, class_names, **others)
        self.pull = pull

    @property
    def settings(self):
        return {{**super().settings, "pull": self.pull}}

    def context(self, image_features):
        return self.ctx.expand(len(image_features), -1, -1)

cocoop.METHODS["{name}"] = Mine
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Takes out again what a test registers and imports."""
    before, modules = dict(METHODS), set(sys.modules)
    yield
    METHODS.clear()
    METHODS.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith("cocoop_plugin_"):
            del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_plugin_runs_once(tmp_path, monkeypatch):
    file = write(tmp_path / "mine.py", PLUGIN.format(pull=1, name="mine"))
    monkeypatch.chdir(tmp_path)
    load_plugins([file])
    method = METHODS["mine"]
    load_plugins([file, Path("mine.py")])
    assert METHODS["mine"] is method


def test_plugins_of_the_same_name_are_pickled_each(tmp_path, tiny):
    files = [
        write(tmp_path / name / "mine.py", PLUGIN.format(pull=pull, name=name)) for name, pull in (("a", 1), ("b", 2))
    ]
    load_plugins(files)
    for name, pull in (("a", 1), ("b", 2)):
        model = METHODS[name](tiny, ["one", "two"])
        assert pickle.loads(pickle.dumps(type(model))) is METHODS[name]
        assert pickle.loads(pickle.dumps(model)).pull == pull


REFUSED = {
    "an error": ("1 / 0", "expected a file that runs; got ZeroDivisionError"),
    "no Python": ("method = :", "expected a file that runs; got SyntaxError"),
    "an end": ("import sys; sys.exit()", r"expected a file that runs; got SystemExit\(\)"),
    "an error of two lines": (
        "raise ValueError('one\\ntwo')",
        r"expected a file that runs; got ValueError\('one\\ntwo'\)",
    ),
    "nothing": ("x = 1", "expected a method in it to be registered; got none"),
    "a function": (
        "cocoop.METHODS['x'] = print",
        "expected a text and a class below cocoop.Method.*got 'x' and <built-in",
    ),
    "another class": ("cocoop.METHODS['x'] = dict", "expected a text and a class below cocoop.Method.*<class 'dict'>"),
    "a number": ("cocoop.METHODS[5] = cocoop.CoOp", "expected a text and a class below cocoop.Method.*got 5 and"),
    "half a method": (
        "cocoop.METHODS['x'] = type('Half', (cocoop.PromptMethod,), {'settings': {}})",
        "expected a whole method; got Half, which lacks take_classes, text_features",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plugin_that_cannot_work_leaves_nothing(tmp_path, case):
    text, message = REFUSED[case]
    registers = "import cocoop\ncocoop.METHODS['before'] = cocoop.METHODS['coop'] = cocoop.CoCoOp\n"
    file = write(tmp_path / "mine.py", ("import cocoop\n" if case == "nothing" else registers) + text)
    methods, modules = dict(METHODS), set(sys.modules)
    for _ in range(2):
        with pytest.raises(InputError, match=f"plugin .*mine.py: {message}") as refused:
            load_plugins([file])
        assert "\n" not in str(refused.value)
        assert methods == METHODS and set(sys.modules) == modules
    load_plugins([write(file, PLUGIN.format(pull=1, name="mine"))])  # once it is mended
    assert METHODS["mine"].__name__ == "Mine"


@pytest.mark.parametrize("name", ["nowhere.py", ".", "mine.txt", "n" * 5000 + ".py"])
def test_what_is_no_python_file(tmp_path, name):
    write(tmp_path / "mine.txt", "")
    with pytest.raises(InputError, match="expected a Python file"):
        load_plugins([tmp_path / name])


# Settings of a plugin's method, which a run folder has to keep


@pytest.mark.parametrize(
    "value",
    [float("nan"), [1, float("inf")], {1, 2}, b"x", torch.ones(1), Path("x"), "\udcff", (n for n in (1, 2))],
    ids=lambda value: type(value).__name__,
)
def test_a_setting_that_no_run_folder_could_keep(tmp_path, tiny, value):
    """It was learned with, and `save` failed after the training."""
    load_plugins([write(tmp_path / "mine.py", PLUGIN.format(pull=1, name="mine"))])
    with pytest.raises(InputError, match="pull: expected None, a text, a finite number or a list of such") as refused:
        PromptClassifier("mine", tiny, {"pull": value}).fit(["a.png", "b.png"], ["a", "b"])
    assert "\n" not in str(refused.value)
