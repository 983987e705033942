"""FGVCAircraft: variants.txt and images_variant_{train,val,test}.txt, its official split."""

from pathlib import Path

from cocoop.data.examples import Example
from cocoop.data.papers.raw import RawData
from cocoop.data.papers.raw.text import label_by_name, read_fields


def read_fgvc_aircraft(base: Path, images: Path) -> RawData:
    """Labels follow the lines of variants.txt; in a list, "1025794 707-320" is images/1025794.jpg.

    Source: CoOp:datasets/fgvc_aircraft.py @ ff61507c.
    """
    listed_in = base / "variants.txt"
    names = [name for (name,) in read_fields(listed_in, r"(.+)", '"707-320"')]
    labels = {name: label for label, name in enumerate(names)}

    def examples(part: str) -> list[Example]:
        path = base / f"images_variant_{part}.txt"
        fields = read_fields(path, r"(\S+) (.+)", '"1025794 707-320" (image, variant)')
        return [Example(images / f"{i}.jpg", label_by_name(path, name, labels, listed_in), name) for i, name in fields]

    return (examples("train"), examples("val"), examples("test")), names
