"""notebooks/quickstart.ipynb, as a reader runs it: in a kernel of its own, from top to bottom, without network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks/quickstart.ipynb"
TOLD = """\
import json
print(json.dumps({
    "accuracy": accuracy, "same": same, "predicted": predicted.tolist(), "classes": classifier.classes_.tolist(),
    "probabilities": probabilities.tolist(), "right": names(some), "picked": len(classifier.picked_),
    "sheet": sheet.size,
}))
"""


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_it_runs_and_says_what_is_true(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    copy = nbformat.from_dict(notebook)
    copy.cells.append(nbformat.v4.new_code_cell(TOLD))
    NotebookClient(copy, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    printed = ["".join(output.get("text", "") for output in cell.get("outputs", ())) for cell in copy.cells]
    told = json.loads(printed[-1])
    accuracy = told["accuracy"]
    # README.md's table, of 16 images per class: 93.82 and 99.26 on base classes, 93.47 and 92.73 on new ones.
    assert accuracy["zero-shot"] == pytest.approx(93.82, abs=0.5)
    assert accuracy["zero-shot, new classes"] == pytest.approx(93.47, abs=0.5)
    assert accuracy["cocoop"] > accuracy["zero-shot"] + 2
    assert accuracy["cocoop, new classes"] > 85
    assert told["picked"] == 40 and told["same"] is True and told["sheet"] == [512, 64]
    assert told["classes"] == ["eight", "five", "nine", "seven", "six"]
    assert sum(a == b for a, b in zip(told["predicted"], told["right"], strict=True)) >= 4
    assert all(sum(row) == pytest.approx(1) for row in told["probabilities"])
    assert any(f"cocoop     {accuracy['cocoop']:6.2f}" in text for text in printed)
    assert any("image/png" in output.get("data", {}) for cell in copy.cells for output in cell.get("outputs", ()))
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", "ipython"}  # nothing beside the notebook


def test_its_links_lead_somewhere(notebook):
    links = [link for cell in notebook.cells for link in re.findall(r"\]\((\.\./[^)#]+)", cell.source)]
    assert len(links) > 5
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []
