"""-q and -v, before a command and after it, and what an error that nobody expected looks like."""

import subprocess
import sys
import warnings
from io import StringIO

import pytest

from cocoop import progress
from cocoop.cli import datasets, info
from cocoop.progress import be_quiet, counter


@pytest.mark.parametrize("arguments", [["-q", "evaluate"], ["evaluate", "--quiet"], ["--quiet", "evaluate", "-q"]])
def test_quiet(cocoop, trained, arguments):
    told = cocoop("evaluate", "run", "photos")
    assert "note: " in told.err
    at = arguments.index("evaluate") + 1
    ran = cocoop(*arguments[:at], "run", "photos", *arguments[at:])
    assert (ran.code, ran.out, ran.err) == (0, told.out, "")
    again = cocoop("evaluate", "run", "photos")
    assert again == told, "a quiet command leaves the next one as it is"


def test_quiet_keeps_old_names_and_warnings_back_and_no_error(cocoop, photos, trained):
    warnings.simplefilter("always")
    assert cocoop("train", "photos", "--out", "one", "--features", "kept", "--epochs", 1, "-q").err == ""
    told = cocoop("train", "photos", "--out", "two", "--features", "kept", "--epochs", 1).err
    assert told.startswith("note: --features is called ") and "warm-up" in told
    ran = cocoop("-q", "predict", "run", "nowhere.png")
    assert ran.code == 2 and ran.err.startswith("cocoop: nowhere.png: expected picture files")


def test_bars(monkeypatch):
    terminal = StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    be_quiet(False)
    try:
        assert not counter("x", 1, "it").disable
        be_quiet(True)
        assert counter("x", 1, "it").disable
    finally:
        be_quiet(False)
    assert not progress.is_quiet()


@pytest.mark.parametrize("verbose", [["-v"], []])
def test_an_error_that_nobody_expected(cocoop, monkeypatch, verbose):
    monkeypatch.setattr(info, "CLASSES", None)
    ran = cocoop("info", "tiny", *verbose)
    assert (ran.code, ran.out) == (1, "")
    *before, last = ran.err.splitlines()
    assert last.startswith("cocoop: an error that nobody expected: TypeError: ")
    assert ("--verbose" in last) == (not verbose) and bool(before) == bool(verbose)
    if verbose:
        assert before[0] == "Traceback (most recent call last):" and "info.py" in ran.err


def test_a_refusal_shows_its_traceback_to_who_asks(cocoop):
    plain, verbose = cocoop("info", "nowhere/"), cocoop("-v", "info", "nowhere/")
    assert plain.code == verbose.code == 2 and plain.err.count("\n") == 1
    assert verbose.err.startswith("Traceback") and verbose.err.endswith(plain.err)


def test_the_place_of_a_warning(cocoop, monkeypatch):
    def warn(*_, **__):
        warnings.warn("cocoop: look here", stacklevel=1)
        return {}

    warnings.simplefilter("always")  # in the second command, too
    monkeypatch.setattr(datasets, "_facts", warn)
    for verbose in ([], ["-v"]):
        err = cocoop("datasets", "show", "digits", "--json", *verbose).err
        assert err.startswith("note: look here") and (f"({__file__}, line " in err) == bool(verbose)


def test_python_m_cocoop(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "cocoop", "train", "nowhere", "--out", "run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 2 and ran.stderr.startswith("cocoop: nowhere: expected a data set")
