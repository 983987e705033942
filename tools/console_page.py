"""Run the commands of a page and paste what they print: `python tools/console_page.py docs/your-photos.md`.

In the page's blocks of ```console a line that begins with "$ " is a command and the rest is its output, standard output
and errors as they come. The commands run in one temporary folder, in order.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


def printed_anew(page: str) -> str:
    """The page with the output that its commands have now."""
    with tempfile.TemporaryDirectory() as folder:
        return CONSOLE.sub(lambda block: f"```console\n{_run(block[1], Path(folder))}```", page)


def _run(block: str, folder: Path) -> str:
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"$ {command}\n{_output(command, folder)}" for command in commands)


def _output(command: str, folder: Path) -> str:
    words = shlex.split(command)
    if words[0] == "cocoop":
        words = [sys.executable, "-m", "cocoop", *words[1:]]
    elif words[0] == "python":
        words = [sys.executable, str(ROOT / words[1]), *words[2:]]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "COCOOP_CACHE": str(folder / "cache")}
    ran = subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return ran.stdout.replace(f"{os.path.realpath(folder)}/", "")


def main() -> None:
    """Write the page over."""
    path = Path(sys.argv[1])
    path.write_text(printed_anew(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
