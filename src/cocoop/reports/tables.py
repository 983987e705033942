"""Plain-text tables that are Markdown at the same time."""

from collections.abc import Mapping, Sequence
from typing import Any

from cocoop.results import harmonic_mean, mean_std


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned Markdown. Words to the left, which is the first column and all with a letter in a cell; numbers to the
    right. A bar in a cell is escaped.
    """
    header, *rows = [[cell.replace("|", r"\|") for cell in row] for row in (header, *rows)]
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    left = [i == 0 or any(map(str.isalpha, "".join(cells))) for i, (_, *cells) in enumerate(columns)]

    def line(cells: Sequence[str]) -> str:
        aligned = zip(cells, widths, left, strict=True)
        padded = [cell.ljust(width) if to_left else cell.rjust(width) for cell, width, to_left in aligned]
        return "| " + " | ".join(padded) + " |"

    rules = [
        "-" * (width + 2) if to_left else "-" * (width + 1) + ":" for width, to_left in zip(widths, left, strict=True)
    ]
    return "\n".join([line(header), f"|{'|'.join(rules)}|", *map(line, rows)])


def base_to_new_rows(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Summarise the seeds of each method.

    Args:
        records: method -> one `record.json` of the base-to-new protocol per seed.

    Returns:
        Per method "method", "base" and "new" as (mean, population std) in percent, "harmonic_mean" of the two mean
        accuracies (as the paper computes H), "seconds" of one run on average, "trainable_parameters".
    """
    rows = []
    for method, runs in records.items():
        base, new = (mean_std([run["results"][half]["accuracy"] for run in runs]) for half in ("base", "new"))
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
