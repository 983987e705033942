"""How the bundled small CLIP is made: its pictures, its tokenizer, its training and its measurement.

Run from the repository's root, in this order (each prints what it does):

    python -m tools.tiny_clip.render  --work tiny-clip-work     # pictures, once, cached
    python -m tools.tiny_clip.train   --work tiny-clip-work --out src/cocoop/clip/tiny
    python -m tools.tiny_clip.measure --model src/cocoop/clip/tiny
    python -m tools.tiny_clip.card    --work tiny-clip-work --model src/cocoop/clip/tiny   # measures, writes README.md
    python -m tools.tiny_clip.check_apart > tools/tiny_clip/check_apart.txt   # that benchmarks test on other pictures

File map: `strokes` writes digits and letters, `cocoop.data.drawn` draws and spoils everything else, `pictures` puts
the two together and is the one entry point; `captions` (with `words.txt`) and `bpe` are the text side; `model` is the
network and its folder; `choose_signs` chose the classes of the offline data set `pictographs`.
"""

import sys

sys.modules["torchvision"] = None  # type: ignore[assignment]  # never needed; a broken one stops transformers
