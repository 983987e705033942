import json
import pathlib
import platform
import subprocess
import sys
from dataclasses import asdict

import numpy
import PIL
import pytest

from cocoop.results import PACKAGES, environment, peak_memory_mb, record, reset_peak_memory


def test_environment_is_plain_json_and_true():
    facts = asdict(environment())
    assert json.loads(json.dumps(facts)) == facts
    assert list(facts) == ["python", "platform", "processor", "cpu_count", "packages"]
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert platform.system() in facts["platform"] or sys.platform == "darwin"
    assert facts["processor"] and facts["cpu_count"] >= 1
    assert tuple(facts["packages"]) == PACKAGES
    assert facts["packages"]["numpy"] == numpy.__version__
    assert facts["packages"]["pillow"] == PIL.__version__


def test_a_package_that_is_not_installed_is_none(monkeypatch):
    monkeypatch.setattr(record, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    assert environment().packages["no-such-package-anywhere"] is None


PEAK = "from cocoop.results import peak_memory_mb; x = b'1' * {bytes}; print(peak_memory_mb())"


def child_peak(held: int) -> float:
    result = subprocess.run([sys.executable, "-c", PEAK.format(bytes=held)], capture_output=True, text=True, check=True)
    return float(result.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="None on Windows")
def test_peak_memory_grows_by_what_is_held_in_mb():
    # 200 MB of touched bytes; the rest of the two processes is equal up to a few MB of allocator noise.
    assert child_peak(200_000_000) - child_peak(1) == pytest.approx(200, abs=20)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_peak_memory_is_this_programs_not_its_parents():
    mine = peak_memory_mb()
    ballast = b"1" * int(max(300e6, 1e6 * mine))
    assert child_peak(1) < len(ballast) / 1e6 / 2


@pytest.mark.skipif(sys.platform == "win32", reason="None on Windows")
def test_without_proc_the_peak_comes_from_getrusage(monkeypatch):
    import resource

    monkeypatch.setattr(record, "_field", lambda path, key: None)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    assert before <= peak_memory_mb() <= before + 50  # the peak can only have grown, and by little


def test_there_is_no_peak_on_windows(monkeypatch):
    monkeypatch.setattr(record.sys, "platform", "win32")
    assert peak_memory_mb() is None


def test_whether_the_peak_counts_anew(monkeypatch):
    if sys.platform == "linux":
        ballast = b"1" * 200_000_000
        del ballast
        before, anew = peak_memory_mb(), reset_peak_memory()
        assert (peak_memory_mb() < before - 100) == anew
    monkeypatch.setattr(record, "Path", lambda path: pathlib.Path("/absent" + path))
    assert reset_peak_memory() is False
