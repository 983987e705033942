"""Torchvision is the user's: cocoop does not need it, is not harmed by a broken one, and leaves a good one alone.

Of all that cocoop imports transformers alone looks for it, and only for its models, which cocoop does not import.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cocoop.clip.sources.load import BUNDLED

SOURCE = Path(__file__).parents[2] / "src"
WORKS = "__version__ = '0.99'"
BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"
"""What a torchvision says beside a CPU-only torch."""

LOAD = "cocoop.CLIP.load('tiny', device='cpu')"
THROUGH_TRANSFORMERS = "cocoop.CLIP.load('tiny', device='cpu', tokenizer='words')\nassert 'transformers' in sys.modules"
USE = "clip.encode_texts(['a cat'])\nclip.encode_images(torch.zeros(1, 3, 32, 32))"


def run(folder: Path, torchvision: str, code: str, *options: str) -> None:
    """Run code where this is torchvision, and "words" a tokenizer that transformers must read; nothing on stderr."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(torchvision)
    (folder / "words").mkdir()
    shutil.copy(BUNDLED["tiny"] / "tokenizer.json", folder / "words")
    settings = json.loads((BUNDLED["tiny"] / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "words" / "tokenizer_config.json").write_text(json.dumps(settings))
    search = os.pathsep.join([str(folder), str(SOURCE), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, *options, "-c", f"import sys\n{code}"],
        env={**os.environ, "PYTHONPATH": search},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_it_can_be_imported_once_a_clip_was_touched(tmp_path):
    run(tmp_path, WORKS, "import cocoop; cocoop.CLIP; import torchvision; torchvision.__version__", "-W", "error")


@pytest.mark.parametrize("load", [LOAD, THROUGH_TRANSFORMERS])
@pytest.mark.parametrize("before", ["", "import transformers"])
def test_it_can_be_imported_once_a_clip_was_loaded(tmp_path, before, load):
    run(tmp_path, WORKS, f"{before}\nimport cocoop\n{load}\nimport torchvision\ntorchvision.__version__\n{load}")


@pytest.mark.parametrize("load", [LOAD, THROUGH_TRANSFORMERS])
def test_one_that_was_imported_before_is_the_same_one_after(tmp_path, load):
    code = f"import torchvision as mine, cocoop\n{load}\nimport torchvision\nassert torchvision is mine"
    run(tmp_path, WORKS, code)


@pytest.mark.parametrize("load", [LOAD, THROUGH_TRANSFORMERS])
@pytest.mark.parametrize("before", ["", "import transformers"])
def test_beside_a_broken_one_everything_works(tmp_path, before, load):
    code = f"{before}\nimport cocoop, torch\nclip = {load}\n{USE}\nassert 'torchvision' not in sys.modules"
    run(tmp_path, BROKEN, code)
