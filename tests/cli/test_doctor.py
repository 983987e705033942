"""`cocoop doctor`: what is there, what is wrong, what to do; and that a check that fails ends nothing."""

import json
import resource
import shutil
import sys
from collections import namedtuple
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from cocoop.clip.precision import TOLERANCES
from cocoop.clip.text import encode
from cocoop.doctor import CHECKS, Finding, examine

HERE = ("torch", "pillow", "scikit-learn")


def look(name: str) -> dict[str, Finding]:
    """What one check finds, by what it looked at."""
    return {finding.check: finding for finding in CHECKS[name]()}


def only(name: str) -> Finding:
    (finding,) = CHECKS[name]()
    return finding


@pytest.fixture(scope="module")
def rows() -> dict[str, Finding]:
    """All findings, on the machine that the tests run on."""
    return {finding.check: finding for finding in examine()}


def test_versions_are_the_installed_ones(rows):
    assert rows["cocoop"].found == version("cocoop")
    assert [rows[name].found for name in HERE] == [version(name) for name in HERE]
    assert rows["extra parquet"].found == f"pyarrow {version('pyarrow')}"
    assert "extra dev" not in rows


def test_nothing_says_whose_machine_it_is(rows):
    assert str(Path.home()) not in " ".join(finding.found + finding.remedy for finding in rows.values())
    assert all(finding.remedy for finding in rows.values() if finding.state != "ok")


def test_errors_are_those_of_each_dtype(rows):
    """Roundings of 6e-8 and of 4e-3: nothing is compared with itself, and TF32 is no way of a CPU."""
    assert all(rows[f"{name} on cpu"].state == "ok" for name in TOLERANCES if name != "tf32")
    assert "tf32 on cpu" not in rows
    cosines = {name: float(rows[f"{name} on cpu"].found.split()[2]) for name in ("float32", "bfloat16")}
    assert 0 < cosines["float32"] < 1e-6 < 1e-4 < cosines["bfloat16"] < 1e-2


FINDINGS = [
    Finding("one", "as it should | be"),
    Finding("two", "slow\x1b[0m", "note", "Buy a GPU."),
    Finding("three", "broken", "wrong", "Mend it."),
]


@pytest.mark.parametrize(("findings", "code"), [(FINDINGS, 1), (FINDINGS[:2], 0), (FINDINGS[:1], 0)])
def test_what_is_printed(cocoop, monkeypatch, findings, code):
    monkeypatch.setattr("cocoop.doctor.examine", lambda: iter(findings))
    ran = cocoop("doctor")
    table, below = ran.out.split("\n\n")
    header, _, *lines = [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()]
    assert header == ["| check", "found", "state |"]
    assert [line[0] for line in lines] == [f"| {finding.check}" for finding in findings]
    assert lines[0][1] == r"as it should \| be"
    assert (ran.code, ran.err, "\x1b" in ran.out) == (code, "", False)
    told = ["note: two: Buy a GPU.", "wrong: three: Mend it."][: len(findings) - 1]
    assert below.splitlines() == (told or ["nothing is wrong"])

    ran = cocoop("doctor", "--json")
    assert (ran.code, ran.err) == (code, "")
    assert [Finding(**row) for row in json.loads(ran.out)] == findings


def test_a_check_that_raises_is_a_finding_and_the_others_go_on(monkeypatch):
    def die():
        yield Finding("first", "fine")
        raise RuntimeError("out of order\nat line 3")

    for name in CHECKS:
        monkeypatch.setitem(CHECKS, name, lambda: [])
    monkeypatch.setitem(CHECKS, "system", die)
    monkeypatch.setitem(CHECKS, "hub cache", lambda: [Finding("last", "fine")])
    first, failed, last = examine()
    assert (first.check, last.check) == ("first", "last")
    assert failed == Finding(
        "system", "could not be looked at: RuntimeError: out of order", "wrong", "Report it, with this table."
    )


# Installed


def install(folder: Path, name: str, code: str, number: str = "1.0") -> None:
    """A package as pip would leave it: modules and metadata."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    (folder / f"{name}-{number}.dist-info").mkdir()
    (folder / f"{name}-{number}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {number}\n")


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder that Python looks for packages in first."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_libraries_that_are_missing_too_old_or_broken(site, monkeypatch):
    install(site, "damaged", "raise ImportError('no symbol x\\nin y')")
    install(site, "nightly", "", "2.0.dev1")
    needs = ["damaged", "nightly>=1", "absent<3,>=2", "numpy<1", 'optional; extra == "more"']
    monkeypatch.setattr("cocoop.doctor.installed.requires", lambda _: needs)
    found = look("libraries")
    assert found.keys() == {"damaged", "nightly", "absent", "numpy"}
    assert found["nightly"] == Finding("nightly", "2.0.dev1")
    assert found["absent"] == Finding("absent", "not installed", "wrong", 'pip install "absent<3,>=2"')
    assert found["numpy"].found == f"{version('numpy')}, but numpy<1 is needed"
    assert found["damaged"].found == "1.0, but cannot be imported: ImportError: no symbol x"
    assert found["damaged"].remedy == 'pip install --force-reinstall "damaged"'


def test_extras_of_extras(site, monkeypatch):
    install(site, "newer", "raise SystemExit")  # nothing is imported
    needs = ["numpy", 'newer>=2; extra == "old"', 'cocoop[old]; extra == "all"', 'absent; extra == "all"']
    monkeypatch.setattr("cocoop.doctor.installed.requires", lambda _: needs)
    monkeypatch.setattr("cocoop.doctor.installed.metadata", lambda _: Metadata(["old", "all", "dev"]))
    found = look("extras")
    assert found["extra old"] == Finding(
        "extra old", "newer 1.0; needed are newer>=2", "wrong", 'pip install "cocoop[old]"'
    )
    assert found["extra all"].state == "wrong" and found.keys() == {"extra old", "extra all"}
    needs[1] = 'newer>=1; extra == "old"'
    found = look("extras")
    assert found["extra old"] == Finding("extra old", "newer 1.0")
    assert found["extra all"] == Finding("extra all", 'not installed: absent (pip install "cocoop[all]")')


class Metadata(dict):
    def __init__(self, extras=(), **fields):
        super().__init__(**fields)
        self.get_all = lambda _: list(extras)


def test_a_python_that_is_too_old(monkeypatch):
    monkeypatch.setattr("cocoop.doctor.installed.metadata", lambda _: Metadata(**{"Requires-Python": ">=4"}))
    assert look("Python")["Python"].state == "wrong"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "operator torchvision::nms does not exist"),
        ("", "cannot import name 'InterpolationMode'"),  # one that imports, and breaks transformers
        ("import os; os.abort()", "exit code -6"),
    ],
)
def test_a_torchvision_that_is_broken(site, code, why):
    install(site, "torchvision", code, "0.99")
    (site / "torchvision" / "transforms.py").write_text("")
    install(site, "transformers", "")  # the real one takes seconds; this does what it does
    (site / "transformers" / "image_utils.py").write_text("from torchvision.transforms import InterpolationMode")
    found = only("torchvision")
    assert found.state == "wrong" and found.found.startswith("0.99, but broken") and why in found.found
    assert found.remedy.startswith("pip uninstall torchvision; or ")


def test_a_torchvision_that_works(site, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # whatever this process has done with the name
    install(site, "torchvision", "", "0.99")
    install(site, "transformers", "")
    (site / "transformers" / "image_utils.py").write_text("import torchvision")
    assert only("torchvision") == Finding("torchvision", "0.99")


# What computes


@pytest.fixture
def no_halves(monkeypatch):
    """Leaves float32 and TF32, which are faster than float16 on a CPU."""
    for name in ("float16", "bfloat16"):
        monkeypatch.delitem(TOLERANCES, name)


def test_a_packed_encoder_that_is_wrong(monkeypatch, no_halves):
    def wrong(*arguments):
        return encode.encode_packed(*arguments) * torch.linspace(1, 1.01, 128)

    monkeypatch.setattr("cocoop.clip.text.prompts.encode_packed", wrong)
    found = look("exactness")
    assert found["float32 on cpu"].state == "wrong"
    assert found["float32 on cpu"].remedy.startswith("The packed text encoder is wrong here, the plain one is not.")


@pytest.mark.parametrize("fault", [1.01, float("nan")])
def test_a_device_that_computes_wrongly(monkeypatch, no_halves, fault):
    """A stand-in for one: products in float32 are off, on both paths."""
    linear = torch.nn.functional.linear

    def off(states, *parameters):
        product = linear(states, *parameters)
        return product if product.dtype == torch.float64 else product * fault

    monkeypatch.setattr("torch.nn.functional.linear", off)
    found = look("exactness")["float32 on cpu"]
    assert found.state == "wrong"
    assert found.remedy.startswith("float32 is not as exact here as promised: choose another --dtype or --device.")


def test_a_gpu_that_does_not_answer_is_a_finding(monkeypatch, no_halves):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    found = look("devices") | look("exactness")
    assert {found[name].state for name in ("device cuda:0", "tf32 on cuda:0", "float32 on cuda:0")} == {"wrong"}
    assert {found[name].state for name in ("device cpu", "float32 on cpu")} == {"ok"}


def test_a_gpu_that_torch_does_not_see(monkeypatch, tmp_path):
    monkeypatch.setattr("cocoop.doctor.devices._NVIDIA", tmp_path)
    assert look("devices")["GPU"].state == "note"


def test_more_threads_than_a_container_has_cores_for(monkeypatch, tmp_path):
    monkeypatch.setattr("cocoop.doctor.devices._QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    found = only("threads")
    assert (found.state, "0.5 usable cores" in found.found) == ("note", True)
    assert found.remedy.startswith("Set OMP_NUM_THREADS=1:")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert only("threads").state == "ok"


# Room


@pytest.mark.parametrize(
    ("container", "state"), [([5 * 10**8], "wrong"), ([2 * 10**9], "ok"), ([2**62], "ok"), ([], "ok")]
)
def test_memory(monkeypatch, container, state):
    monkeypatch.setattr("cocoop.clip.text.memory.free_of_machine", lambda: 8 * 10**9)
    monkeypatch.setattr("cocoop.clip.text.memory.free_of_container", lambda: container)
    found = only("memory")
    assert found.state == state and found.found.startswith("8.0 GB free")
    assert ("the container leaves" in found.found) == (container in ([5 * 10**8], [2 * 10**9]))


def test_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.chdir(tmp_path)
    assert look("disk")["disk, cache"].state == "ok" and not (tmp_path / "not").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(5 * 10**8))
    found = look("disk")
    assert (found["disk, cache"].state, found["disk, hub cache"].state) == ("ok", "wrong")  # a CLIP takes more

    def refused(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    found = look("disk")["disk, current folder"]
    assert (found.state, found.found) == ("wrong", f"{tmp_path} cannot be written: Read-only file system")


@pytest.mark.parametrize(
    ("cores", "free", "state", "said"),
    [
        (8, 10**10, "ok", "room for"),
        (8, 64 * 2**20, "note", "threads decode, slower"),  # what a container has by itself
        (16, 200 * 2**20, "note", "fewer processes decode than there are cores"),
        (2, 64 * 2**20, "ok", "on 2 cores threads do"),
    ],
)
def test_shared_memory(monkeypatch, cores, free, state, said):
    monkeypatch.setattr("cocoop.features.ahead.usable_cpus", lambda: cores)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(free))
    found = only("shared memory")
    assert found.state == state and said in found.found + found.remedy


def test_no_shared_memory(monkeypatch):
    monkeypatch.setattr("cocoop.features.ahead.usable_cpus", lambda: 8)
    monkeypatch.setattr("cocoop.features.ahead.SHARED_MEMORY", Path("/nowhere"))
    found = only("shared memory")
    assert found.state == "note" and found.found.startswith("none in /nowhere: room for 0 processes")


@pytest.mark.parametrize(("limit", "state"), [(32, "wrong"), (64, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_open_files(monkeypatch, limit, state):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert only("open files").state == state


def test_what_is_kept_from_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert only("hub cache").found.startswith("none: there is no ")
    for name in ("openai--clip-vit-base-patch16", "mine--secret"):
        (tmp_path / "hub" / f"models--{name}" / "snapshots" / "0").mkdir(parents=True)
        (tmp_path / "hub" / f"models--{name}" / "refs").mkdir()
    found = only("hub cache")
    assert found.state == "ok" and found.found.startswith("ViT-B/16 of OpenAI's, 1 other models, in ")
    shutil.rmtree(tmp_path / "hub" / "models--mine--secret" / "snapshots")
    assert only("hub cache").state == "note"
