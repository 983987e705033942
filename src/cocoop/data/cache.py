"""Where pictures go that were made or unpacked here and can be made again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be made again: `COCOOP_CACHE`, else `cocoop` in `XDG_CACHE_HOME`, else ~/.cache/cocoop.

    It need not exist yet. A variable that is empty counts as not set, and `XDG_CACHE_HOME` only with an absolute path.
    Source: XDG Base Directory Specification 0.8.
    """
    own, shared = os.environ.get("COCOOP_CACHE"), Path(os.environ.get("XDG_CACHE_HOME", ""))
    if own:
        return Path(own).expanduser()
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "cocoop"
