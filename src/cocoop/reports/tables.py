"""Plain-text tables that are Markdown at the same time."""

from collections.abc import Mapping, Sequence
from typing import Any

from cocoop.results import harmonic_mean, mean_std


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Aligned Markdown: the first `left` columns to the left, all others to the right. A bar in a cell is escaped."""
    header, *rows = [[cell.replace("|", r"\|") for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rules = ["-" * (width + 2) if i < left else "-" * (width + 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([line(header), f"|{'|'.join(rules)}|", *map(line, rows)])


def base_to_new_rows(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Summarise the seeds of each method.

    Args:
        records: method -> one `record.json` per seed, with "base" and "new" accuracies under "results".

    Returns:
        Per method "method", "base" and "new" as (mean, population std) in percent, "harmonic_mean" of the two mean
        accuracies (as the paper computes H), "seconds" of one run on average, "trainable_parameters".
    """
    rows = []
    for method, runs in records.items():
        base, new = (mean_std([run["results"][half] for run in runs]) for half in ("base", "new"))
        rows.append(
            {
                "method": method,
                "base": base,
                "new": new,
                "harmonic_mean": harmonic_mean(base[0], new[0]),
                "seconds": mean_std([run["seconds"] for run in runs])[0],
                "trainable_parameters": runs[0]["trainable_parameters"],
            }
        )
    return rows
