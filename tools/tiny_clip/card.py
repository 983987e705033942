"""Measures a finished small CLIP and writes its model card.

`python -m tools.tiny_clip.card --work tiny-clip-work --model src/cocoop/clip/tiny`
"""

import argparse
from pathlib import Path

import torch

from cocoop.data.drawn.glyphs import pictographs
from cocoop.data.drawn.shapes import SHAPES

from .captions import TEMPLATES
from .measure import PROMPT, Encoder, results
from .render import COUNTS, SEED
from .train import BATCH, PEAK_RATE, WEIGHT_DECAY

CARD = Path(__file__).with_name("card_template.md").read_text()


def write_card(work: Path, folder: Path) -> None:
    """Writes README.md into the model's folder."""
    encoder = Encoder(folder)
    config, state = encoder.net.config, torch.load(work / "checkpoint.pt")
    rows = [f"| {what} | {classes} | {share:.1%} |" for what, classes, share in results(encoder)]
    towers = {
        name: f"{tower.num_hidden_layers}, {tower.hidden_size}, {tower.num_attention_heads}"
        for name, tower in (("vision", config.vision_config), ("text", config.text_config))
    }
    text = CARD.format(
        parameters=sum(parameter.numel() for parameter in encoder.net.parameters()) / 1e6,
        vocabulary=config.text_config.vocab_size,
        joint=config.projection_dim,
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        prompt=PROMPT,
        table="\n".join(["| pictures | classes | right |", "|---|---:|---:|", *rows]),
        seed=SEED,
        signs=len(pictographs()),
        kinds=len(SHAPES),
        templates=len(TEMPLATES),
        minutes=state["spent"] / 60,
        steps=state["step"],
        batch=BATCH,
        rate=PEAK_RATE,
        decay=WEIGHT_DECAY,
        **towers,
        **{family.replace(" ", "_"): count for family, count in COUNTS.items()},
    )
    (folder / "README.md").write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("tiny-clip-work"))
    parser.add_argument("--model", type=Path, default=Path("src/cocoop/clip/tiny"))
    options = parser.parse_args()
    write_card(options.work, options.model)
