"""Files that are damaged, or that a stranger made, given to everything that reads: `python -m tools.fuzz`."""
