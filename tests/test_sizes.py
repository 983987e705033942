"""What CONTRIBUTING.md says of the size of files and functions, and of what one training step runs through."""

import ast
import re
from pathlib import Path

from tools.step_trace import SOURCE, trace_step

ROOT = Path(__file__).parents[1]
FILES = sorted(SOURCE.rglob("*.py"))


def length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_files_and_functions_are_short():
    assert [path for path in FILES if length(path) >= 400] == []
    lengths = {(path, f.name): f.end_lineno - f.lineno + 1 for path in FILES for f in functions(path)}
    assert [place for place, lines in lengths.items() if lines >= 60] == []
    assert sum(lines < 15 for lines in lengths.values()) > len(lengths) / 2
    assert sum(length(path) < 200 for path in FILES) > len(FILES) / 2


def test_longer_files_of_tests_are_named():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    longer = [path for path in (ROOT / "tests").rglob("*.py") if length(path) >= 400]
    assert [path for path in longer if f"`{path.relative_to(ROOT / 'tests').as_posix()}`" not in text] == []


def test_a_step_runs_through_as_many_files_as_is_said():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files, lines = re.search(r"(\d+) of them,\s+some ([\d,]+) lines", text).groups()
    ran = trace_step()
    assert {SOURCE / name for name in ("training/step.py", "methods/cocoop.py", "clip/text/attention.py")} <= ran.keys()
    assert len(ran) == int(files)
    assert abs(sum(map(length, ran)) - int(lines.replace(",", ""))) <= 100
    assert all(0 < len(numbers) <= length(path) and max(numbers) <= length(path) for path, numbers in ran.items())
