"""`cocoop explain`, by what it prints and writes."""

import json

import pytest
import report_pages as pages


def test_labelled_images_have_accuracies(cocoop, trained):
    ran = cocoop("explain", "run", "photos", "--out", "page.html", "--device", "cpu")
    assert ran.code == 0, ran.err
    scored = json.loads(cocoop("evaluate", "run", "photos", "--json", "--device", "cpu").out)
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["with", "pi", f"{scored['accuracy']:.2f}", "100.00"] in lines
    assert f"Of images of photos that the run did not learn from: {scored['n']}. " in ran.out
    assert ran.out.startswith("Words nearest to the context vectors\n")
    assert "left out 9 images that the run learned from" in ran.err and "page: page.html" in ran.err
    page = pages.Page((trained.parent / "page.html").read_text())
    assert len(page.named("img")) == 2 * scored["n"]
    assert "cocoop explain run photos --out page.html --device cpu" in page.words


def test_json_has_all_of_it(cocoop, trained):
    ran = cocoop("explain", "run", "photos", "--include-training", "--json")
    told = json.loads(ran.out)
    assert ran.code == 0 and len(told["images"]) == len(told["shown"]) == 18
    assert told["class_names"] == ["one", "seven", "three"] and told["method"] == "cocoop"
    assert [row["images"] for row in told["shares"]] == [9, 18]
    assert "9 of which the run learned from" in told["of"]
    assert [prompt["name"] for prompt in told["prompts"]] == ["with pi", "with its mean", "without pi"]
    image = told["images"][0]
    assert image["label"] == "one" and sum(map(sum, image["evidence"])) == pytest.approx(1)
    assert image["strongest"]["name"] and image["moved"]["changed"][0].keys() == {"label", "by_mean", "own"}
    assert len(told["words"]["vectors"]) == 8 and told["words"]["vectors"][0]["nearest"][0]["word"]


def test_the_run_alone(cocoop, trained):
    ran = cocoop("explain", "run", "--out", "page.html")
    assert ran.code == 0 and "the training images that the run keeps" in ran.out and "called" not in ran.out
    assert "No images were given." in (trained.parent / "page.html").read_text()


def test_pictures_of_other_classes(cocoop, trained):
    ran = cocoop("explain", "run", "photos/one", "photos/three/1.png", "--classes", "cat,one,red panda")
    assert ran.code == 0 and "7 images" in ran.out and "accuracy" not in ran.out and "red panda" in ran.out
    assert "note: 2 of the run's 3 classes are not among the 3 to choose from here" in ran.err


def test_a_picture_that_cannot_be_read_is_named(cocoop, trained):
    (trained.parent / "broken.png").write_bytes(b"no image")
    ran = cocoop("explain", "run", "broken.png", "photos/one/0.png", "--json")
    assert ran.code == 1 and "cocoop: 1 of 2 pictures could not be read." in ran.err
    [unread] = json.loads(ran.out)["unread"]
    assert unread["image"] == "broken.png" and "Pillow can decode" in unread["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere: expected a run folder"),
        (["run", "nowhere.png"], "nowhere.png: expected picture files"),
        (["run", "--folder-classes"], "--folder-classes: expected labelled images to go with it"),
        (["run", "photos/one", "--include-training"], "--include-training: expected labelled images"),
        (["run", "photos", "--classes", "a,b", "--folder-classes"], "--classes: expected nothing beside"),
        (["run", "photos/one", "--out", "no/page.html"], "no/page.html: expected a file to write"),
        (["run", "photos/one", "--out", "page.pdf"], "--out: expected the name of a page, such as explained.html"),
        (["run", "broken.png"], "images: expected some that can be read; got none."),
    ],
)
def test_what_cannot_work_is_one_line(cocoop, trained, arguments, told):
    (trained.parent / "broken.png").write_bytes(b"no image")
    ran = cocoop("explain", *arguments)
    assert ran.code == 2 and ran.out == "" and ran.err.splitlines()[-1].startswith(f"cocoop: {told}")
