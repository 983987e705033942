"""The guides say of every data set what the table does, and the docs show both."""

from pathlib import Path

import pytest

from cocoop.data import GUIDES, OFFLINE, OFFLINE_ABOUT, PAPER_DATASETS, layout_tree, write_miniature

DOCS = (Path(__file__).parents[2] / "docs/datasets.md").read_text(encoding="utf-8")


def test_the_guides_cover_every_name():
    assert list(GUIDES) == list(PAPER_DATASETS)
    assert list(OFFLINE_ABOUT) == list(OFFLINE)
    for name, guide in GUIDES.items():
        row = PAPER_DATASETS[name]
        # The images' folder of the table is one of the parts, or holds some of them.
        assert any(part.path.startswith(f"{row.images}/".lstrip("/")) for part in guide.parts)
        assert row.split_file or not any(part.raw for part in guide.parts)


def test_a_tree():
    assert layout_tree("ucf101").splitlines() == [
        "ucf101/",
        "  UCF-101-midframes/      a folder per class: Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg",
        "  ucfTrainTestlist/",
        "    classInd.txt          lines like: 1 ApplyEyeMakeup *",
        "    trainlist01.txt       lines like: ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1 *",
        "    testlist01.txt        the same without the number *",
        "  split_zhou_UCF101.json  the papers' split; without it, those marked * are needed",
    ]


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_a_tree_is_what_a_miniature_has(name, tmp_path):
    """Written from the facts apart from the guides: each line of the tree is there, as the folder or file it says."""
    write_miniature(name, tmp_path, images=4, split_file=True)
    above: list[str] = []
    for line in layout_tree(name).splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        entry = line.split()[0]
        above = [*above[:depth], entry]
        path = tmp_path.joinpath(*above)
        assert path.is_dir() if entry.endswith("/") else path.is_file()


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_the_docs_show_it(name):
    row = PAPER_DATASETS[name]
    assert f"\n{layout_tree(name)}\n" in DOCS
    (line,) = (line for line in DOCS.splitlines() if line.startswith("|") and f"| `{name}` " in line)
    sizes = " / ".join(f"{size:,}" if size else "-" for size in row.sizes)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [row.title, f"`{name}`", f"{row.classes:,}", sizes, f"`{row.template}`", f"[site]({row.homepage})"]
