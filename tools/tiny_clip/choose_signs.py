"""Chooses the signs of the benchmark `pictographs`: `python -m tools.tiny_clip.choose_signs`.

Of the signs that the bundled CLIP knows, drop one of the two that look most alike, again and again, until `COUNT` are
left. How much two signs are alike is the correlation of their masks, drawn upright in one font and blurred by about as
much as pictures are shifted and bent. Prints the table of `cocoop.data.drawn.signs`.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cocoop.data.drawn import distort, glyphs

COUNT = 220
BLUR = 3.0  # pixels of the mask's 64


def mask_of(sign: str) -> npt.NDArray[np.float64]:
    """The blurred mask of a sign as a vector of length 1 and mean 0, [32 * 32]."""
    mask: Image.Image = glyphs.draw_in("DejaVuSans.ttf", sign).filter(ImageFilter.GaussianBlur(BLUR))
    vector = distort.shrink(mask).astype(np.float64).ravel()
    vector -= vector.mean()
    return vector / np.linalg.norm(vector)


def choose(signs: dict[str, str], count: int) -> dict[str, str]:
    """`count` of the signs (name -> character), without the closest pairs, by name."""
    names = sorted(signs)
    masks = np.stack([mask_of(signs[name]) for name in names])
    alike = masks @ masks.T
    np.fill_diagonal(alike, -1)
    for _ in range(len(names) - count):
        pair = np.unravel_index(alike.argmax(), alike.shape)
        # Of the pair, drop the one that is more like a third sign too.
        worse = max(pair, key=lambda i: (np.sort(alike[i])[-2], i))
        alike[worse], alike[:, worse] = -2, -2
    return {name: signs[name] for name, row in zip(names, alike, strict=True) if row.max() > -2}


if __name__ == "__main__":
    for name, sign in choose(glyphs.pictographs(), COUNT).items():
        print(f'    "{name}": "{sign}",')
