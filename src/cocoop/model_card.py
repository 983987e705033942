"""The README.md of a run folder: what was learned, from what, how well it did, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN_CLASSES = 20


def model_card(config: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Markdown for a run with this `config.json` and `record.json`."""
    names = config["class_names"]
    shown = ", ".join(names[:_SHOWN_CLASSES]) + (", ..." if len(names) > _SHOWN_CLASSES else "")
    figures = {name: value for name, value in record["results"].items() if isinstance(value, int | float)}
    return "\n".join(
        [
            f"# Prompt learned with {record['method']}",
            "",
            f"Classifies images into {len(names)} classes ({shown}), on top of the CLIP `{record['clip']}`. Other class "
            "lists can be given at any time."
            if record["method"] != "zero-shot"
            else f"Zero-shot prompts for {len(names)} classes ({shown}) on the CLIP `{record['clip']}`.",
            "",
            "| | |",
            "|---|---|",
            f"| training images | {record['training_images']} |",
            f"| seed | {record['seed']} |",
            f"| trainable parameters | {record['trainable_parameters']:,} |",
            f"| seconds | {record['seconds']:.1f} |",
            *(f"| {name.replace('_', ' ')} | {value:.2f} |" for name, value in figures.items()),
            "",
            "Percent, rounded here; `record.json` has the unrounded figures, the software and the machine.",
            "",
            "```python",
            "import cocoop",
            "",
            'classifier = cocoop.PromptClassifier.load("this-folder")',
            'classifier.predict(["image.jpg"])',
            "```",
            "",
        ]
    )
