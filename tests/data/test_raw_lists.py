"""OxfordPets, SUN397, UCF101 and FGVCAircraft from their text files, by hand.

Random(0), the seed of splits made here, shuffles [1, 2, 3, 4, 5] to [3, 2, 1, 5, 4] and the next [1, 2, 3] to
[1, 2, 3]; of every class the first fifth, rounded, is val: one of five, one of three.
"""

import pytest
from raw_layouts import images, parts, write

from cocoop.data import read_paper_dataset
from cocoop.errors import InputError

PETS = {
    "oxford_pets/annotations/trainval.txt": (
        "Abyssinian_1 1 1 1\n"
        "american_bulldog_11 2 2 1\n"
        "Abyssinian_2 1 1 1\n"
        "Abyssinian_3 1 1 1\n"
        "american_bulldog_12 2 2 1\n"
        "Abyssinian_4 1 1 1\n"
        "Abyssinian_5 1 1 1\n"
        "american_bulldog_13 2 2 1\n"
    ),
    "oxford_pets/annotations/test.txt": "american_bulldog_20 2 2 1\nAbyssinian_204 1 1 1\n",
}


def test_oxford_pets(tmp_path):
    root = write(tmp_path, PETS)
    dataset = read_paper_dataset("oxford_pets", root)
    assert parts(dataset, root / "oxford_pets" / "images") == {
        "train": [
            ("Abyssinian_2.jpg", 0, "abyssinian"),
            ("Abyssinian_1.jpg", 0, "abyssinian"),
            ("Abyssinian_5.jpg", 0, "abyssinian"),
            ("Abyssinian_4.jpg", 0, "abyssinian"),
            ("american_bulldog_12.jpg", 1, "american_bulldog"),
            ("american_bulldog_13.jpg", 1, "american_bulldog"),
        ],
        "val": [("Abyssinian_3.jpg", 0, "abyssinian"), ("american_bulldog_11.jpg", 1, "american_bulldog")],
        "test": [("american_bulldog_20.jpg", 1, "american_bulldog"), ("Abyssinian_204.jpg", 0, "abyssinian")],
    }
    assert dataset.class_names == ["abyssinian", "american_bulldog"]
    assert dataset.split_made


SUN = {
    "sun397/ClassName.txt": "/a/abbey\n/a/apartment_building/outdoor\n",
    "sun397/Training_01.txt": (
        "/a/apartment_building/outdoor/sun_a.jpg\n"
        "/a/apartment_building/outdoor/sun_b.jpg\n"
        "/a/apartment_building/outdoor/sun_c.jpg\n"
        "/a/apartment_building/outdoor/sun_d.jpg\n"
        "/a/apartment_building/outdoor/sun_e.jpg\n"
        "/a/abbey/sun_f.jpg\n"
        "/a/abbey/sun_g.jpg\n"
        "/a/abbey/sun_h.jpg\n"
    ),
    "sun397/Testing_01.txt": "/a/abbey/sun_y.jpg\n/a/apartment_building/outdoor/sun_z.jpg",
}


def test_sun397(tmp_path):
    root = write(tmp_path, SUN)
    dataset = read_paper_dataset("sun397", root)
    assert parts(dataset, root / "sun397" / "SUN397") == {
        "train": [
            ("a/apartment_building/outdoor/sun_b.jpg", 1, "outdoor apartment_building"),
            ("a/apartment_building/outdoor/sun_a.jpg", 1, "outdoor apartment_building"),
            ("a/apartment_building/outdoor/sun_e.jpg", 1, "outdoor apartment_building"),
            ("a/apartment_building/outdoor/sun_d.jpg", 1, "outdoor apartment_building"),
            ("a/abbey/sun_g.jpg", 0, "abbey"),
            ("a/abbey/sun_h.jpg", 0, "abbey"),
        ],
        "val": [
            ("a/apartment_building/outdoor/sun_c.jpg", 1, "outdoor apartment_building"),
            ("a/abbey/sun_f.jpg", 0, "abbey"),
        ],
        "test": [
            ("a/abbey/sun_y.jpg", 0, "abbey"),
            ("a/apartment_building/outdoor/sun_z.jpg", 1, "outdoor apartment_building"),
        ],
    }
    assert dataset.class_names == ["abbey", "outdoor apartment_building"]
    assert dataset.split_made


LISTS = "ucf101/ucfTrainTestlist"
UCF = {
    # Not in the order of the numbers, with Windows line ends and an empty line at the end.
    f"{LISTS}/classInd.txt": "2 HandstandPushups\r\n1 ApplyEyeMakeup\r\n3 YoYo\r\n\r\n",
    f"{LISTS}/trainlist01.txt": (
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi 1\r\n"
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c03.avi 1\r\n"
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c04.avi 1\r\n"
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c05.avi 1\r\n"
        "HandstandPushups/v_HandStandPushups_g09_c01.avi 2\r\n"
        "HandstandPushups/v_HandStandPushups_g09_c02.avi 2\r\n"
        "HandstandPushups/v_HandStandPushups_g09_c03.avi 2\r\n"
        "YoYo/v_YoYo_g10_c01.avi 3\r\n"
        "YoYo/v_YoYo_g10_c02.avi 3\r\n"
        "YoYo/v_YoYo_g10_c03.avi 3\r\n"
    ),
    f"{LISTS}/testlist01.txt": "YoYo/v_YoYo_g01_c01.avi\r\nApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\n",
}


def test_ucf101(tmp_path):
    root = write(tmp_path, UCF)
    dataset = read_paper_dataset("ucf101", root)
    # Folders and names by words, files by the video's own name (with its own capitals), .jpg for .avi.
    eye, stand = "Apply_Eye_Makeup", "Handstand_Pushups"
    got = parts(dataset, root / "ucf101" / "UCF-101-midframes")
    assert got["train"][:6] == [
        ("Apply_Eye_Makeup/v_ApplyEyeMakeup_g08_c02.jpg", 0, eye),
        ("Apply_Eye_Makeup/v_ApplyEyeMakeup_g08_c01.jpg", 0, eye),
        ("Apply_Eye_Makeup/v_ApplyEyeMakeup_g08_c05.jpg", 0, eye),
        ("Apply_Eye_Makeup/v_ApplyEyeMakeup_g08_c04.jpg", 0, eye),
        ("Handstand_Pushups/v_HandStandPushups_g09_c02.jpg", 1, stand),
        ("Handstand_Pushups/v_HandStandPushups_g09_c03.jpg", 1, stand),
    ]
    assert got["val"][:2] == [
        ("Apply_Eye_Makeup/v_ApplyEyeMakeup_g08_c03.jpg", 0, eye),
        ("Handstand_Pushups/v_HandStandPushups_g09_c01.jpg", 1, stand),
    ]
    assert sorted(got["train"][6:] + got["val"][2:]) == [
        (f"Yo_Yo/v_YoYo_g10_c0{clip}.jpg", 2, "Yo_Yo") for clip in (1, 2, 3)
    ]
    assert got["test"] == [
        ("Yo_Yo/v_YoYo_g01_c01.jpg", 2, "Yo_Yo"),
        ("Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg", 0, eye),
    ]
    assert dataset.class_names == ["Apply_Eye_Makeup", "Handstand_Pushups", "Yo_Yo"]


AIRCRAFT = {
    "fgvc_aircraft/variants.txt": "A300B4\nF/A-18\nBAE 146-200\n",
    "fgvc_aircraft/images_variant_train.txt": "0034309 BAE 146-200\n1025794 F/A-18\n0000001 A300B4\n",
    "fgvc_aircraft/images_variant_val.txt": "0481847 F/A-18\n",
    "fgvc_aircraft/images_variant_test.txt": "2097315 A300B4\n0903578 BAE 146-200\n",
}


def test_fgvc_aircraft(tmp_path):
    root = write(tmp_path, AIRCRAFT)
    dataset = read_paper_dataset("fgvc_aircraft", root)
    assert parts(dataset, root / "fgvc_aircraft" / "images") == {
        "train": [("0034309.jpg", 2, "BAE 146-200"), ("1025794.jpg", 1, "F/A-18"), ("0000001.jpg", 0, "A300B4")],
        "val": [("0481847.jpg", 1, "F/A-18")],
        "test": [("2097315.jpg", 0, "A300B4"), ("0903578.jpg", 2, "BAE 146-200")],
    }
    assert dataset.class_names == ["A300B4", "F/A-18", "BAE 146-200"]  # by line, not by the alphabet
    assert not dataset.split_made


@pytest.mark.parametrize(
    ("name", "files", "changed", "content", "message"),
    [
        (
            "oxford_pets",
            PETS,
            "annotations/trainval.txt",
            None,
            r"expected a text file with lines like \"Abyss.*no such",
        ),
        ("oxford_pets", PETS, "annotations/test.txt", "", r"test.txt: expected lines like .*; got an empty file"),
        (
            "oxford_pets",
            PETS,
            "annotations/test.txt",
            b"\xff\xfe",
            r"test.txt: expected a text file.*; got text that is not UTF-8",
        ),
        (
            "oxford_pets",
            PETS,
            "annotations/test.txt",
            "a_1 1 1 1\nb 1 1 1\n",
            r"test.txt, line 2: expected .*'b 1 1 1'",
        ),
        ("oxford_pets", PETS, "annotations/test.txt", "a_1 0 1 1\n", r"line 1: expected .*number from 1.*'a_1 0 1 1'"),
        ("oxford_pets", PETS, "annotations/test.txt", f"a_1 {'9' * 5000} 1 1\n", r"line 1: expected .*number from 1"),
        ("oxford_pets", PETS, "annotations/test.txt", "beagle_1 1 1 1\n", r"'abyssinian' and 'beagle' for label 0"),
        ("oxford_pets", PETS, "annotations/test.txt", "beagle_1 4 1 1\n", r"annotations: .*labels 0..2 for 3 classes"),
        ("oxford_pets", PETS, "annotations/trainval.txt", "a_1 1 1 1\n", r"trainval.txt: class 'a': expected enough"),
        ("sun397", SUN, "ClassName.txt", "abbey\n", r"ClassName.txt, line 1: expected .*'abbey'"),
        (
            "sun397",
            SUN,
            "ClassName.txt",
            "/a/abbey\n",
            r"Training_01.txt: expected classes that .*ClassName.txt lists; got",
        ),
        (
            "sun397",
            SUN,
            "ClassName.txt",
            SUN["sun397/ClassName.txt"] + "/y/yard\n",
            r"all 3 classes; .* 1, first 'yard'",
        ),
        ("sun397", SUN, "Testing_01.txt", "sun_a.jpg\n", r"Testing_01.txt, line 1: expected .*'sun_a.jpg'"),
        ("ucf101", UCF, "ucfTrainTestlist/classInd.txt", "1 applyEye\n", r"classInd.txt: .*CamelCase.*'applyEye'"),
        ("ucf101", UCF, "ucfTrainTestlist/classInd.txt", "1 A\n3 B\n", r"classInd.txt: .*1..K.*2 numbers without 2"),
        (
            "ucf101",
            UCF,
            "ucfTrainTestlist/classInd.txt",
            "YoYo\n",
            r"classInd.txt, line 1: expected \"1 ApplyEyeMakeup\"",
        ),
        ("ucf101", UCF, "ucfTrainTestlist/testlist01.txt", "YoYo/a.jpg\n", r"testlist01.txt, line 1: .*'YoYo/a.jpg'"),
        (
            "ucf101",
            UCF,
            "ucfTrainTestlist/testlist01.txt",
            "Dig/a.avi\n",
            r"testlist01.txt: .*classInd.txt lists; got 'Dig'",
        ),
        ("fgvc_aircraft", AIRCRAFT, "variants.txt", None, r"variants.txt: expected .*; there is no such file"),
        ("fgvc_aircraft", AIRCRAFT, "images_variant_val.txt", "1 747\n", r"_val.txt: .*variants.txt lists; got '747'"),
        ("fgvc_aircraft", AIRCRAFT, "images_variant_val.txt", "747\n", r"_val.txt, line 1: expected .*'747'"),
    ],
)
def test_what_is_missing_or_of_another_form_is_named(tmp_path, name, files, changed, content, message):
    folder = next(iter(files)).split("/")[0]
    write(tmp_path, files)
    (tmp_path / folder / changed).unlink()
    if content is not None:
        write(tmp_path / folder, {changed: content})
    with pytest.raises(InputError, match=message) as raised:
        read_paper_dataset(name, tmp_path)
    assert str(raised.value).startswith(str(tmp_path / folder))
    assert f"`cocoop datasets check {name} --data-root DIR`" in str(raised.value)


def test_images_are_not_looked_for(tmp_path):
    assert read_paper_dataset("oxford_pets", write(tmp_path, PETS)) == read_paper_dataset(
        "oxford_pets", write(tmp_path, images("oxford_pets/images/Abyssinian_1.jpg"))
    )
