"""Photos as a phone leaves them, to follow docs/your-photos.md: `python tools/phone_photos.py`.

It draws two folders. `photos/` has one sub-folder per class, `new photos/` has pictures without labels. As on a phone,
names have blanks, commas and umlauts, most photos are stored on their side with EXIF data that say so, some are HEIC
where pillow-heif is installed, a few are broken, and other files lie beside them.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from cocoop.data.drawn.distort import warp
from cocoop.data.drawn.shapes import colour_near, draw

CLASSES = {"blue star": "blue star", "red fish": "red fish", "house, green": "green house"}
"""Name of the folder -> colour and shape of what is photographed."""

WIDTH, HEIGHT = 360, 480
_ORIENTATION, _TURNED = 0x0112, 6  # EXIF's tag, and "the right side of what is stored is the top"


def photo(what: str, rng: np.random.Generator) -> Image.Image:
    """A photo of a thing on some ground, upright."""
    colour, shape = what.split()
    ground = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8) // 2 + 100
    image = Image.fromarray(ground).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    mask = warp(draw(shape), rng, (1.0, 1.4), 0.15).resize((WIDTH - 40, WIDTH - 40), Image.Resampling.BICUBIC)
    ink = Image.new("RGB", mask.size, tuple(int(255 * value) for value in colour_near(colour, rng)))
    image.paste(ink, (20, (HEIGHT - WIDTH) // 2 + 20), mask.filter(ImageFilter.GaussianBlur(1)))
    return image


def stored(image: Image.Image, form: str) -> bytes:
    """The photo in a file of this form, lying on its side, and what says so."""
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURNED
    content = BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(content, form, exif=exif, quality=85)
    return content.getvalue()


def write(path: Path, what: str, rng: np.random.Generator) -> None:
    """One photo, JPEG or HEIC by its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored(photo(what, rng), "HEIF" if path.suffix == ".HEIC" else "JPEG"))


def main() -> None:
    """Write both folders into the working directory."""
    heic = "HEIC" if _reads_heic() else "JPG"
    rng = np.random.default_rng(0)
    labelled, new = Path("photos"), Path("new photos")
    for name, what in CLASSES.items():
        for number in range(24):
            write(labelled / name / f"IMG_{number:04}.{heic if number % 8 == 0 else 'JPG'}", what, rng)
    (labelled / "red fish" / "notes.txt").write_text("caught on Sunday")
    write(labelled / "all of them.JPG", "blue star", rng)
    for number, (name, what) in enumerate(sorted(CLASSES.items()) * 3):
        write(new / f"größer {number}, {name.split()[0].strip(',')}.{heic if number == 4 else 'JPG'}", what, rng)
    (new / "Straße.JPG").write_bytes(stored(photo("red fish", rng), "JPEG")[:900])
    (new / "video.MOV").write_bytes(b"\0" * 1000)


def _reads_heic() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


if __name__ == "__main__":
    main()
