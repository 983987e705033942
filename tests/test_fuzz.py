"""A few mutated files of every kind: an answer or an error of the package's own. `make fuzz` gives many more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop.errors import CocoopError
from cocoop.escapes import visible
from tools.fuzz.kinds import KINDS
from tools.fuzz.mutate import mutate
from tools.fuzz.of_runs import make_runs
from tools.fuzz.watch import Outcome, watched
from tools.fuzz.work import put_case

CASES = 8
SLOW = ("exported models",)  # to make; `serving/test_vetted.py` has damaged ones


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    make_runs(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in KINDS if name not in SLOW])
def test_an_answer_or_a_line(tmp_path, runs, name):
    kind, root = KINDS[name], tmp_path / "new"  # a folder that is not there yet, as for `make fuzz`
    if kind.make is make_runs:
        shutil.copytree(runs, root / "whole")
    else:
        kind.make(root / "whole")
    for number in range(CASES):
        case = put_case(name, kind, root, 0, number, tmp_path / "case")
        try:
            kind.read(case)
        except CocoopError as error:
            assert visible(str(error)) == str(error) and len(str(error)) < 2000


def test_the_same_seed_gives_the_same_files(tmp_path):
    kind = KINDS["manifests and split files"]
    kind.make(tmp_path / "whole")
    cases = [put_case("x", kind, tmp_path, 1, 5, tmp_path / place) for place in ("a", "b")]
    first, second = ({path.name: path.read_bytes() for path in case.iterdir()} for case in cases)
    assert first == second
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole" / cases[0].name).iterdir()}
    assert first != whole


@settings(deadline=None, max_examples=50)
@given(st.randoms(use_true_random=False), st.sampled_from(["x.json", "x.csv", "x.safetensors", "x.bin"]), st.binary())
def test_a_mutation_is_bytes(draw, name, content):
    assert isinstance(mutate(name, content, draw), bytes)


def test_a_reader_that_fails_is_told_apart():
    """Else the fuzzer would count a crash as an answer."""

    def refuse():
        raise CocoopError("x: expected y; got z.")

    def crash():
        raise KeyError("x")

    assert watched(lambda: None) == Outcome("read", "")
    assert watched(refuse) == Outcome("refused", "x: expected y; got z.")
    assert watched(crash).verdict == "crashed"
