"""Prompts in the form of the original CoOp and CoCoOp code (KaiyangZhou/CoOp @ ff61507c), read and written."""

from cocoop.official.read import gaps, read_official
from cocoop.official.write import write_official

__all__ = ["gaps", "read_official", "write_official"]
