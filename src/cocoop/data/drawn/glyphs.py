"""Letters, digits and pictographs from the fonts that matplotlib ships, and the English names of the pictographs."""

import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cocoop.data.drawn.distort import CANVAS

TEXT_FONTS = tuple(
    f"{name}.ttf"
    for name in (
        *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
        *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
        *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
        *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
        *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
    )
)
PICTOGRAPH_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")
# Arrows, technical signs, shapes, symbols, dingbats without circled numbers, animal faces, emoticons.
PICTOGRAPH_RANGES = (
    *((0x2190, 0x219B), (0x21A9, 0x21AA), (0x21AF, 0x21B3), (0x21BA, 0x21BB), (0x21C4, 0x21C6)),
    *((0x2300, 0x2303), (0x2318, 0x2318), (0x2326, 0x2328), (0x23CE, 0x23CF)),
    *((0x25A3, 0x25A9), (0x25B2, 0x25C9), (0x25D0, 0x25D5), (0x25E2, 0x25E5)),
    *((0x2600, 0x2613), (0x2618, 0x262F), (0x2638, 0x2672), (0x267F, 0x2685), (0x2690, 0x26A7)),
    *((0x2701, 0x2767), (0x2798, 0x27BE), (0x20A0, 0x20BA), (0x1F42D, 0x1F435), (0x1F600, 0x1F640)),
    *((0x221E, 0x221E), (0x2211, 0x2211), (0x221A, 0x221A), (0x222B, 0x222B)),
)
NOISE = frozenset({"black", "white", "heavy", "medium", "light", "sign", "symbol", "ornament", "suit"})


@cache
def _path(font: str) -> str:
    """The file of a font."""
    import matplotlib  # takes a while, and listing a data set draws nothing

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font)


@cache
def _characters(font: str) -> frozenset[int]:
    """The code points that a font can draw."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_path(font)).get_charmap())


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_path(name), 52)


def _tidy(name: str) -> str:
    """Drops the words of a Unicode name that say little about how the sign looks."""
    kept = [word for word in name.split() if word not in NOISE]
    return " ".join(kept) or name


@cache
def pictographs() -> dict[str, str]:
    """Name -> character. A name is shortened only where it stays the only one of its kind."""
    drawable = _characters("DejaVuSans.ttf")
    signs = [chr(c) for low, high in PICTOGRAPH_RANGES for c in range(low, high + 1) if c in drawable]
    full = {sign: unicodedata.name(sign).lower().replace("-", " ") for sign in signs}
    short = [_tidy(name) for name in full.values()]
    return {_tidy(name) if short.count(_tidy(name)) == 1 else name: sign for sign, name in full.items()}


@cache
def fonts_with(character: str) -> tuple[str, ...]:
    """The text fonts for letters and digits, the fonts that have the sign for anything else."""
    if character.isascii():
        return TEXT_FONTS
    return tuple(font for font in PICTOGRAPH_FONTS if ord(character) in _characters(font))


def draw(character: str, rng: np.random.Generator) -> Image.Image:
    """The character in one of its fonts; see `draw_in`."""
    fonts = fonts_with(character)
    return draw_in(fonts[rng.integers(len(fonts))], character)


def draw_in(font_name: str, character: str) -> Image.Image:
    """The character in that font: a white-on-black mask of `CANVAS` pixels, touching its frame."""
    font = _font(font_name)
    left, top, right, bottom = font.getbbox(character)
    glyph = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(glyph).text((-left, -top), character, fill=255, font=font)
    scale = (CANVAS - 2) / max(glyph.size)
    width, height = (max(1, round(scale * side)) for side in glyph.size)
    mask = Image.new("L", (CANVAS, CANVAS))
    mask.paste(
        glyph.resize((width, height), Image.Resampling.BICUBIC),
        ((CANVAS - width) // 2, (CANVAS - height) // 2),
    )
    return mask
