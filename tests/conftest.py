import shutil
import signal
from collections.abc import Callable
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path

import golden_clip
import pytest
import torch

from cocoop import CLIP
from cocoop.clip.sources.load import BUNDLED

# The models are small: a second thread gains little, and on busy cores it costs ten times the time.
torch.set_num_threads(1)

# A shell that starts the tests in the background has Ctrl-C ignored, and so would they and all processes they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden() -> CLIP:
    """The golden CLIP with the stand-in tokenizer, packed path. Tests that switch the path switch it back."""
    return golden_clip.load()


@pytest.fixture(scope="session")
def tiny() -> CLIP:
    """The bundled CLIP."""
    return CLIP.load("tiny", device="cpu")


@pytest.fixture(params=["packed", "plain"])
def both_paths(request: pytest.FixtureRequest, golden: CLIP):
    """The golden CLIP, once on each text path."""
    golden.text.plain = request.param == "plain"
    yield golden
    golden.text.plain = False


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """The bundled CLIP in `model` without its tokenizer, and that in `words`; both in the folder that is returned."""
    shutil.copytree(BUNDLED["tiny"], tmp_path / "model")
    (tmp_path / "words").mkdir()
    for file in (tmp_path / "model").glob("tokenizer*"):
        file.rename(tmp_path / "words" / file.name)
    return tmp_path


@pytest.fixture
def own_processes() -> Callable[[], set[BaseProcess]]:
    """The living processes that the test has started; those that others left, such as joblib's, do not count."""
    before = set(active_children())
    return lambda: set(active_children()) - before
