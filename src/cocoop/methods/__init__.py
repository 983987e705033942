"""The methods. To add one: write its file and its line in `METHODS`."""

from cocoop.methods.base import PromptMethod, load_tensors
from cocoop.methods.cocoop import CoCoOp
from cocoop.methods.coop import CoOp
from cocoop.methods.shortlist import Shortlist
from cocoop.methods.zero_shot import ZeroShot

METHODS: dict[str, type[PromptMethod]] = {"zero-shot": ZeroShot, "coop": CoOp, "cocoop": CoCoOp}

__all__ = ["METHODS", "CoCoOp", "CoOp", "PromptMethod", "Shortlist", "ZeroShot", "load_tensors"]
