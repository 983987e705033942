"""Every code block of the README and the docs does what it says.

Python blocks run in order, page by page. Every `cocoop` line is parsed by the real command line and, where it needs
nothing that a test cannot have, run. What is left is listed here with its reason.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import typer
from method_contract import check_method
from own_photos import write_photos
from PIL import Image

import cocoop
from cocoop.cli import app, main
from cocoop.data import IMAGE_SUFFIXES
from tools.console_page import printed_anew

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]

COMMANDS = re.compile(r"^(?:\.venv/bin/)?cocoop ")

NO_COMMANDS = {
    "make demo": "CI runs it",
    "make test": "CI runs it",
    'echo \'{"model_cfg"': "the shell's own",
    "hf download": "needs the network",
    "torchrun": "starts processes of its own, in tests/cli/test_torchrun.py",
    "sbatch --array": "needs Slurm",
    "pip install": "installs",
    "curl -": "needs a server",
    "docker ": "needs Docker and the network; what it would do is done in tests/serving/test_container.py",
}
"""How other lines of shell blocks begin -> why they are not run."""

TEXTS = {
    "src/cocoop/": "the rooms",
    "imagenet/": "layouts of the data sets",
    "photos/cat/1.jpg": "a layout of folders",
    "path,label,split": "a manifest",
    '{"path": "images/0001.jpg"': "a manifest",
    "warning: Fewer than three seeds": "what a command printed",
    "note: left out files": "what a command printed",
    '{"run": "my-run"': "what a server answers",
}
"""How blocks begin that are neither Python nor shell -> what they are."""

ONLY_PARSED = {
    r"\$DATA": "needs the papers' data sets",
    r"cocoop bench\b": "measures for minutes",
    r"--runner ray": "starts processes of its own, in tests/shards/test_runners.py",
    r"plan (1e9|200000)": "measures, as the line before it does; in tests/cli/test_plan.py",
    r"--to torch-export": "takes half a minute; in tests/cli/test_export.py",
    r"--report-to": "needs a logger",
    r"owner/name": "needs the hub; in tests/test_sharing.py",
    r"\bRN50\.pt|ViT-B-16\.pt|info ViT-B/16": "needs a released CLIP",
    r"datasets check all --data-root data": "fails on purpose: nothing of the fifteen lies there",
    r"shards/\*\.tar": "needs archives",
    r"cocoop serve\b": "goes on until Ctrl-C; in tests/cli/test_serve.py",
    r"report cocoop-benchmark": "needs the runs of the lines before it",
}
"""Patterns of lines that are parsed and not run -> why."""

NOT_RUN = {
    "datasets.load_dataset(": "needs the hub",
    ".push_to_hub(": "needs the hub",
    "import ray": "needs Ray",
    "n_jobs=2": "starts processes of its own, in tests/test_sklearn_tools.py",
    "find_label_issues": "in tests/test_sklearn_tools.py, with labels that are wrong",
}
"""What Python blocks hold that are compiled and not run -> why."""

SHORTER = {
    "predict --clip openai/clip-vit-base-patch16": "predict --clip tiny",
    "export --clip openai/clip-vit-base-patch16": "export --clip tiny",
    "--clip openai/clip-vit-base-patch16": "--clip tiny --epochs 2",
    "--shots 8 --seeds 1,2": "--shots 1 --seeds 1 --epochs 1",
    "model.pth.tar-10 --clip": "model.pth.tar-2 --clip",
    "photos/ --jobs 2": "photos/ --shots 1 --seeds 1 --epochs 1",
    "photos/ --runner slurm": "photos/ --shots 1 --seeds 1 --epochs 1 --runner slurm",
}
"""What takes a download or long -> what is run instead."""


class Block(NamedTuple):
    """A fenced block: its language ("" if none is named) and text."""

    language: str
    text: str

    @property
    def kind(self) -> str:
        if self.language == "python":
            return "file" if re.match(r"# \w+\.py\n", self.text) else "python"
        if self.language == "console":
            return "console"
        if self.language == "sh" or any(is_shell(line) for line in self.text.splitlines()):
            return "shell"
        return "text"


def is_shell(line: str) -> bool:
    return bool(COMMANDS.match(line)) or line.startswith(tuple(NO_COMMANDS))


def blocks(page: str) -> list[Block]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in fences]


def lines(page: str) -> list[str]:
    """The page's shell lines without comments' and blank ones."""
    shells = [block.text for block in blocks(page) if block.kind == "shell"]
    return [line for text in shells for line in text.splitlines() if line.strip() and not line.startswith("#")]


COCOOP_LINES = [(page, line) for page in PAGES for line in lines(page) if COMMANDS.match(line)]


def words(line: str) -> list[str]:
    """What the command gets of a shell line, patterns of files filled in from the working directory."""
    given = shlex.split(COMMANDS.sub("", line), comments=True)
    return [path for word in given for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]


@pytest.fixture(scope="session")
def furnished(tmp_path_factory) -> Path:
    """What pages speak of: photos as a folder, a manifest and single files, a run, runs, learned tensors."""
    root: Path = tmp_path_factory.mktemp("docs")
    photos = sorted(write_photos(root / "photos", 18).glob("*/*"))
    rows = [f"photos/{photo.parent.name}/{photo.name},{photo.parent.name}" for photo in photos]
    (root / "photos.csv").write_text("\n".join(["path,label", *rows]))
    Image.open(photos[0]).save(root / "photo.jpg")
    classifier = cocoop.PromptClassifier(clip="tiny", shots=2, epochs=2, device="cpu")
    run = classifier.fit(photos, [photo.parent.name for photo in photos]).save(root / "my-run")
    shutil.copytree(run, root / "runs" / "one")
    shutil.copy(run / "prompt.safetensors", root / "my-run.learned.safetensors")
    return root


@pytest.fixture
def folder(furnished, tmp_path, monkeypatch) -> Path:
    """A copy of that as the working directory."""
    shutil.copytree(furnished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(("page", "line"), COCOOP_LINES)
def test_the_command_line_takes_it(page, line, furnished, monkeypatch):
    monkeypatch.chdir(furnished)
    assert parsed(words(line)) == shlex.split(COMMANDS.sub("", line))[0]


def parsed(arguments: list[str]) -> str:
    """Parse, as the command line does, to the last argument; run nothing. The command's name."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("cocoop", list(arguments))
    first = ""
    while hasattr(group, "resolve_command"):  # typer brings its own click, or takes another's
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        first = first or name
        context = group.make_context(name, rest, parent=context)
    return first


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train photos --out run --features x", "No such option"),
        ("train photos", "Missing .*out"),
        ("predict", "Missing .*run"),
        ("bench --rounds many", "valid int"),
    ],
)
def test_what_is_wrong_does_not_parse(line, message):
    with pytest.raises(Exception, match=message):
        parsed(line.split())


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_left_out(page):
    for block in blocks(page):
        if block.kind == "text":
            assert block.text.startswith(tuple(TEXTS)), (
                f"{page}: list this block, or make it one that runs:\n{block.text}"
            )
    for line in lines(page):
        assert is_shell(line), f"{page}: neither a cocoop command nor in NO_COMMANDS: {line}"


def test_every_exception_is_still_of_something():
    texts = [block.text for page in PAGES for block in blocks(page)]
    for start in (*NO_COMMANDS, *TEXTS, *NOT_RUN, *SHORTER):
        assert any(start in text for text in texts), start
    for pattern in ONLY_PARSED:
        assert any(re.search(pattern, text) for text in texts), pattern


@pytest.fixture
def methods() -> Iterator[None]:
    """Takes the methods out again that plugins of the docs register."""
    before, modules = dict(cocoop.METHODS), set(sys.modules)
    yield
    cocoop.METHODS.clear()
    cocoop.METHODS.update(before)
    for name in set(sys.modules) - modules:
        if name == "my_method" or name.startswith("cocoop_plugin_my_method_"):
            del sys.modules[name]


@pytest.mark.parametrize("page", [page for page in PAGES if any(COMMANDS.match(line) for line in lines(page))])
def test_the_commands_run(page, folder, monkeypatch, methods, capsys):
    write_files(page)
    for line in (line for line in lines(page) if COMMANDS.match(line)):
        if any(re.search(pattern, line) for pattern in ONLY_PARSED):
            continue
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        arguments = words(line)
        if "--out" in arguments:
            shutil.rmtree(arguments[arguments.index("--out") + 1], ignore_errors=True)
        monkeypatch.setattr(sys, "argv", ["cocoop", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert not ended.value.code, f"{line}\n{said.err}"
        assert said.out.strip(), line


GIVEN = {
    "README.md": lambda: {"image": Image.new("RGB", (50, 40), "red")},
    "docs/speed.md": lambda: {
        "cocoop": cocoop,
        "safetensors": safetensors,
        "clip": cocoop.CLIP.load("tiny", device="cpu"),
        "class_names": ["one", "six"],
    },
}
"""What a page's Python blocks take as given."""


PRINTS = {
    "README.md": r"(0\.[4-9]\d*|1\.0)\n\['(six|seven)' '(six|seven)'\] \[\[",  # better than a guess among three
    "docs/datasets.md": r"(0\.[4-9]\d*|1\.0)\n",
    "docs/export.md": r"pixels 8\n(one|seven|three)\n",
    "docs/methods.md": r"\['\w+' '\w+' '\w+'\]\n",
    "docs/predict.md": r"None missing\.jpg: expected an image .*\nTrue\n",
    "docs/reports.md": r"\*\*.+\*\*\n",
    "docs/sharing.md": r"seed, images per class, data set: unknown, because no log.txt says it\n",
    "docs/sklearn.md": r"[01]\.\d+\n\[\[[\d. ]+\]\]\n\['one' 'seven' 'three'\]\n$",
    "docs/training.md": r"0 loss \d.*\n(\d loss .*\n)+[012] \d+\.\d+\n",
}
"""How what a page's Python prints begins."""


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.kind == "python" for b in blocks(page))])
def test_the_python_runs(page, folder, monkeypatch, methods, capsys):
    monkeypatch.syspath_prepend(str(folder))
    shutil.rmtree("my-run")
    write_files(page)
    names = GIVEN.get(page, dict)()
    for block in (block for block in blocks(page) if block.kind == "python"):
        code = compile(block.text, page, "exec")
        if not any(part in block.text for part in NOT_RUN):
            exec(code, names)
    assert re.match(PRINTS.get(page, "$"), capsys.readouterr().out)
    if "my_method" in sys.modules:
        check_method("mine", cocoop.CLIP.load("tiny", device="cpu"))


def test_the_classifier_takes_ten_lines():
    block = next(block for block in blocks("README.md") if block.kind == "python")
    assert len([line for line in block.text.splitlines() if line]) <= 10


def write_files(page: str) -> None:
    for block in blocks(page):
        if block.kind == "file":
            Path(block.text.split()[1]).write_text(block.text, encoding="utf-8")


@pytest.mark.skipif(".heic" not in IMAGE_SUFFIXES, reason="the page is of a machine that reads HEIC")
def test_the_page_of_tables_is_what_happens():
    """`docs/intake.md` is what its script prints, so that no row of it is out of date."""
    printed = subprocess.run(
        [sys.executable, "tools/intake_table.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs/intake.md").read_text(encoding="utf-8") == printed


@pytest.mark.skipif(".heic" not in IMAGE_SUFFIXES, reason="the page is of a machine that reads HEIC")
def test_the_page_for_a_newcomer_prints_what_it_says():
    """Each command of `docs/your-photos.md` prints what the page shows, figures apart, which processors round."""
    page = (ROOT / "docs/your-photos.md").read_text(encoding="utf-8")
    assert re.sub(r"\d+", "#", printed_anew(page)) == re.sub(r"\d+", "#", page)
