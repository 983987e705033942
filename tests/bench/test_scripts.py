"""What the scripts in benchmarks/ reckon with."""

import json
import sys
from pathlib import Path

import pytest
import torch

import cocoop
from benchmarks import end_to_end, growth, memory_budget
from cocoop import CoCoOp
from cocoop.bench import class_names
from cocoop.data import open_image

ROOTS = (Path(cocoop.__file__).parents[1], Path(torch.__file__).parents[1])


@pytest.mark.parametrize(("end", "function", "part"), end_to_end.PLACES[1:])
def test_the_places_of_the_parts_are_there(end, function, part):
    """A file or function that was renamed would be counted as "other" without a word."""
    (file,) = (root / end[1:] for root in ROOTS if (root / end[1:]).is_file())
    assert not function or f"def {function}(" in file.read_text()
    assert part in end_to_end.PARTS


def test_a_stack_belongs_to_its_innermost_part(monkeypatch):
    seen = []
    monkeypatch.setattr("PIL.Image.open", lambda *args, **options: seen.append(end_to_end.part_of(sys._getframe())))
    with pytest.raises(Exception, match="expected an image"):
        open_image("absent.jpg", b"no image")
    assert seen == ["decoding, transform"]
    assert end_to_end.part_of(sys._getframe()) == "other"
    assert end_to_end.part_of(None) == "other"


def test_text_is_trainings_if_the_loop_called_for_it():
    """Code that only has the names of the files, called from one to the other."""
    spaces = {"part_of": end_to_end.part_of, "getframe": sys._getframe}
    exec(compile("def encode(): return part_of(getframe())", "x/cocoop/clip/text/prompts.py", "exec"), spaces)
    exec(compile("def train(): return encode()", "x/cocoop/training/loop.py", "exec"), spaces)
    assert (spaces["encode"](), spaces["train"]()) == ("text side, scoring", "text side, training")


def test_a_budget_is_measured_with_the_gradients_of_all_that_is_learned(capsys, tiny):
    memory_budget.measure("tiny", 20, "64MB")
    measured = json.loads(capsys.readouterr().out)
    assert len(measured["gradient"]) == CoCoOp(tiny, class_names(20)).trainable_parameters
    assert measured["seconds"] > 0 and (measured["peak"] is None or measured["peak"] >= 0)


def test_budgets_are_sizes_or_refused(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["memory_budget.py", "--budgets", "4GB", "much"])
    with pytest.raises(SystemExit) as ended:
        memory_budget.main()
    assert ended.value.code == 2
    assert "memory_budget: expected auto, or a size such as 4GB or 500MB; got 'much'" in capsys.readouterr().err


def test_the_exponent():
    assert growth.exponent([1, 10, 100], [2.0, 2.0 * 10**1.05, 2.0 * 100**1.05]) == pytest.approx(1.05)


def test_class_folders_differ_and_are_as_long_as_they_should(tiny):
    names = end_to_end.class_folders(100)
    assert len(set(names)) == 100
    tokens = [len(tiny.token_ids(name.replace("_", " ") + ".")) + 1 for name in names]
    assert sum(tokens) == 417
