"""Miniatures of the data sets that come with lists or MATLAB files of labels."""

import json

from cocoop.data.papers.miniature.layout import Miniature, MiniatureClass, cut, lines, mat, parts


def oxford_pets(images: int) -> Miniature:
    """Names in file names: cats (species 1) with capitals, dogs (2) without. One file among the images is no image."""
    breeds = {
        "Abyssinian": 1,
        "american_pit_bull_terrier": 2,
        "Bengal": 1,
        "British_Shorthair": 1,
        "keeshond": 2,
        "Maine_Coon": 1,
    }
    classes = [
        MiniatureClass(breed.lower(), look, *cut([f"{breed}_{i}.jpg" for i in range(1, images + 1)]))
        for look, breed in enumerate(breeds)
    ]
    of_species = {1: ["Abyssinian", "Bengal", "British_Shorthair", "Maine_Coon"], 2: list(breeds)[1::3]}

    def rows(paths: list[str], label: int) -> list[str]:
        breed, species = list(breeds.items())[label]
        ids = f"{label + 1} {species} {of_species[species].index(breed) + 1}"
        return [f"{path.removesuffix('.jpg')} {ids}" for path in paths]

    learn = [row for label, kind in enumerate(classes) for row in rows(kind.learn, label)]
    test = [row for label, kind in enumerate(classes) for row in rows(kind.test, label)]
    files = {
        "annotations/trainval.txt": lines(learn),
        "annotations/test.txt": lines(test),
        "annotations/list.txt": lines(["#Image CLASS-ID SPECIES BREED ID", *learn, *test]),
        "images/Abyssinian_100.mat": mat({}),
    }
    return Miniature(classes, files)


def stanford_cars(images: int) -> Miniature:
    """Training and test images have the same file names, in two folders; labels and names in MATLAB files, from 1."""
    models = [
        "AM General Hummer SUV 2000",
        "Acura RL Sedan 2012",
        "Chevrolet Silverado 1500 Hybrid Crew Cab 2012",
        "Eagle Talon Hatchback 1998",
        "FIAT 500 Abarth 2012",
        "Ram C/V Cargo Van Minivan 2012",
    ]
    train, val, test = parts(images)

    def files(folder: str, label: int, number: int) -> list[str]:
        return [f"{folder}/{turn * len(models) + label + 1:05d}.jpg" for turn in range(number)]

    classes = [
        MiniatureClass(
            " ".join([model.split()[-1], *model.split()[:-1]]),
            label,
            files("cars_train", label, train + val),
            files("cars_test", label, test),
        )
        for label, model in enumerate(models)
    ]
    annotations = {
        "devkit/cars_train_annos.mat": _car_annotations(len(models) * (train + val), len(models), with_class=True),
        "devkit/cars_test_annos.mat": _car_annotations(len(models) * test, len(models), with_class=False),
        "cars_test_annos_withlabels.mat": _car_annotations(len(models) * test, len(models), with_class=True),
        "devkit/cars_meta.mat": mat({"class_names": _cells(models)}),
    }
    return Miniature(classes, annotations)


def oxford_flowers(images: int) -> Miniature:
    """Image i has label i of `imagelabels.mat`, from 1; the names are keyed by label as text, in no order."""
    names = [
        "pink primrose",
        "hard-leaved pocket orchid",
        "canterbury bells",
        "sweet pea",
        "english marigold",
        "tiger lily",
    ]
    kinds = len(names)
    classes = [
        MiniatureClass(name, label, *cut([f"image_{i * kinds + label + 1:05d}.jpg" for i in range(images)]))
        for label, name in enumerate(names)
    ]
    keyed = {str(label): names[label - 1] for label in (4, 1, 6, 2, 5, 3)}
    files = {
        "imagelabels.mat": mat({"labels": _bytes_row(list(range(1, kinds + 1)) * images)}),
        "cat_to_name.json": json.dumps(keyed).encode(),
    }
    return Miniature(classes, files)


def fgvc_aircraft(images: int) -> Miniature:
    """Names have blanks, bars and dashes; images are numbers with leading zeros; three official splits."""
    names = ["707-320", "BAE 146-200", "Boeing 717", "DHC-8-100", "Eurofighter Typhoon", "F/A-18"]
    classes = [
        MiniatureClass(name, label, *cut([f"{34309 + 1000 * i + label:07d}.jpg" for i in range(images)]))
        for label, name in enumerate(names)
    ]
    train = parts(images)[0]
    lists = {
        "train": {kind.name: kind.learn[:train] for kind in classes},
        "val": {kind.name: kind.learn[train:] for kind in classes},
        "trainval": {kind.name: kind.learn for kind in classes},
        "test": {kind.name: kind.test for kind in classes},
    }
    files = {
        f"images_variant_{part}.txt": lines([f"{p.removesuffix('.jpg')} {name}" for name in of for p in of[name]])
        for part, of in lists.items()
    }
    return Miniature(classes, {**files, "variants.txt": lines(names)})


def sun397(images: int) -> Miniature:
    """Classes are paths of two or three parts, which the lists write from a leading slash."""
    names = {
        "/a/abbey": "abbey",
        "/a/apartment_building/outdoor": "outdoor apartment_building",
        "/b/bakery/shop": "shop bakery",
        "/c/church/indoor": "indoor church",
        "/c/church/outdoor": "outdoor church",
        "/y/yard": "yard",
    }
    classes = [
        MiniatureClass(name, look, *cut([f"{folder[1:]}/sun_{_letters(look, i)}.jpg" for i in range(images)]))
        for look, (folder, name) in enumerate(names.items())
    ]
    files = {
        "ClassName.txt": lines(list(names)),
        "Training_01.txt": lines([f"/{path}" for kind in classes for path in kind.learn]),
        "Testing_01.txt": lines([f"/{path}" for kind in classes for path in kind.test]),
    }
    return Miniature(classes, files)


def ucf101(images: int) -> Miniature:
    """Lists name videos by action; the middle frames lie in folders named by words. One action is spelt in two ways."""
    actions = ["ApplyEyeMakeup", "CleanAndJerk", "HandstandPushups", "HorseRace", "TaiChi", "YoYo"]
    folders = ["Apply_Eye_Makeup", "Clean_And_Jerk", "Handstand_Pushups", "Horse_Race", "Tai_Chi", "Yo_Yo"]
    train, val, test = parts(images)
    # Groups 1 to 7 are for testing, 8 to 25 for learning.
    tested = [f"g{1 + i % 7:02d}_c{1 + i // 7:02d}" for i in range(test)]
    learned = [f"g{8 + i % 18:02d}_c{1 + i // 18:02d}" for i in range(train + val)]

    def videos(label: int, clips: list[str], folder: str, ending: str) -> list[str]:
        action = actions[label].replace("Handstand", "HandStand")
        return [f"{folder}/v_{action}_{clip}{ending}" for clip in clips]

    classes = [
        MiniatureClass(folder, label, videos(label, learned, folder, ".jpg"), videos(label, tested, folder, ".jpg"))
        for label, folder in enumerate(folders)
    ]
    learn_lines = [
        f"{video} {label + 1}" for label, name in enumerate(actions) for video in videos(label, learned, name, ".avi")
    ]
    test_lines = [video for label, name in enumerate(actions) for video in videos(label, tested, name, ".avi")]
    class_lines = [f"{label + 1} {name}" for label, name in enumerate(actions)]
    # With Windows line ends, which these lists are passed around with.
    files = {"classInd": class_lines, "trainlist01": learn_lines, "testlist01": test_lines}
    return Miniature(classes, {f"ucfTrainTestlist/{name}.txt": lines(rows, "\r\n") for name, rows in files.items()})


def _letters(look: int, i: int) -> str:
    """Sixteen lower-case letters, another set for every image."""
    number = 26**4 * (look + 1) + 7919 * i
    return "".join(chr(ord("a") + number // 26**place % 26) for place in range(16))


def _cells(texts: list[str]) -> object:
    """A MATLAB row of cells, one text each."""
    import numpy as np

    row = np.empty((1, len(texts)), dtype=object)
    row[0] = texts
    return row


def _bytes_row(numbers: list[int]) -> object:
    import numpy as np

    return np.array([numbers], dtype=np.uint8)


def _car_annotations(images: int, models: int, with_class: bool) -> bytes:
    """The devkit's struct array `annotations`; image i (from 1) shows model (i - 1) modulo `models`."""
    import numpy as np

    boxes = {"bbox_x1": 2, "bbox_y1": 3, "bbox_x2": 38, "bbox_y2": 30}
    rows = []
    for image in range(images):
        numbers = {**boxes, "class": image % models + 1} if with_class else boxes
        values = [np.array([[number]], dtype=np.uint8) for number in numbers.values()]
        rows.append((*values, f"{image + 1:05d}.jpg"))
    fields = [*boxes, "class", "fname"] if with_class else [*boxes, "fname"]
    return mat({"annotations": np.array([rows], dtype=[(field, object) for field in fields])})
