"""Faults of the machine, and what comes of them: `python tools/fault_table.py` prints the table of docs/robustness.md.

The rows are those that `tests/cli/test_faults.py` runs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
faults = import_module("fault_cases").FAULTS


def main() -> None:
    """Print the table."""
    print("| kind | where | command | what is said | exit code | what is left |\n|---|---|---|---|---:|---|")
    for fault in faults:
        print(f"| {fault.kind} | {fault.where} | {_command(fault)} | {_said(fault)} | {fault.code} | {fault.left} |")


def _command(fault: Any) -> str:
    name, *rest = fault.command.split()
    return f"`{name} {rest[0]}`" if name == "datasets" else f"`{name}`"


def _said(fault: Any) -> str:
    return f"`{fault.said}`" if fault.said else "nothing"


if __name__ == "__main__":
    main()
