"""cocoop: conditional prompt learning for CLIP, with the original's numbers at a fraction of its cost.

Public names are loaded on first use, so that `import cocoop` and `cocoop --help` answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cocoop.callbacks import Callback
    from cocoop.clip import CLIP
    from cocoop.data import Dataset, Example, base_to_new, read_dataset, sample_few_shot
    from cocoop.errors import CocoopError, InputError, NotFittedError, RunError
    from cocoop.estimator import PromptClassifier
    from cocoop.methods import (
        CLAP,
        METHODS,
        TCP,
        ZSLP,
        CLIPAdapter,
        CoCoOp,
        ConditionalPrompts,
        CoOp,
        KgCoOp,
        LinearProbe,
        Method,
        ProGrad,
        PromptMethod,
        Recipe,
        TaskRes,
        TipAdapter,
        TipAdapterF,
        ZeroShot,
        ZeroShotEnsemble,
    )
    from cocoop.serving import Predictor

if TYPE_CHECKING:
    __version__: str

_HOME = {
    "CLAP": "cocoop.methods",
    "CLIP": "cocoop.clip",
    "CLIPAdapter": "cocoop.methods",
    "Callback": "cocoop.callbacks",
    "CoCoOp": "cocoop.methods",
    "CoOp": "cocoop.methods",
    "CocoopError": "cocoop.errors",
    "ConditionalPrompts": "cocoop.methods",
    "Dataset": "cocoop.data",
    "Example": "cocoop.data",
    "InputError": "cocoop.errors",
    "KgCoOp": "cocoop.methods",
    "LinearProbe": "cocoop.methods",
    "METHODS": "cocoop.methods",
    "Method": "cocoop.methods",
    "NotFittedError": "cocoop.errors",
    "Predictor": "cocoop.serving",
    "ProGrad": "cocoop.methods",
    "PromptClassifier": "cocoop.estimator",
    "PromptMethod": "cocoop.methods",
    "Recipe": "cocoop.methods",
    "RunError": "cocoop.errors",
    "TCP": "cocoop.methods",
    "TaskRes": "cocoop.methods",
    "TipAdapter": "cocoop.methods",
    "TipAdapterF": "cocoop.methods",
    "ZSLP": "cocoop.methods",
    "ZeroShot": "cocoop.methods",
    "ZeroShotEnsemble": "cocoop.methods",
    "base_to_new": "cocoop.data",
    "read_dataset": "cocoop.data",
    "sample_few_shot": "cocoop.data",
}

__all__ = [
    "CLAP",
    "CLIP",
    "CLIPAdapter",
    "Callback",
    "CoCoOp",
    "CoOp",
    "CocoopError",
    "ConditionalPrompts",
    "Dataset",
    "Example",
    "InputError",
    "KgCoOp",
    "LinearProbe",
    "METHODS",
    "Method",
    "NotFittedError",
    "Predictor",
    "ProGrad",
    "PromptClassifier",
    "PromptMethod",
    "Recipe",
    "RunError",
    "TCP",
    "TaskRes",
    "TipAdapter",
    "TipAdapterF",
    "ZSLP",
    "ZeroShot",
    "ZeroShotEnsemble",
    "base_to_new",
    "read_dataset",
    "sample_few_shot",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("cocoop")
    if name not in _HOME:
        raise AttributeError(f"module 'cocoop' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
