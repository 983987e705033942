"""The JSON API in this process: answers beside `Predictor`'s, in batches, of all kinds of runs."""

import csv
import io
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from web_requests import error_of, send

from cocoop import CLIP, Predictor
from cocoop.serving import export, load_learned
from cocoop.web.batching import ModelThread
from cocoop.web.start import serving


@pytest.mark.parametrize("classes", [None, ["seven", "red panda", "four"]])
def test_the_answers_are_those_of_the_predictor(client, served, classes):
    paths = served.paths[::5]
    fields = {"ways": "exact,tangent,zero-shot", "top": "9"} | ({"classes": json.dumps(classes)} if classes else {})
    results = send(client, *paths, **fields).json()["results"]
    run, given = served.runs[0], {"image": list(map(str, paths))}
    names = classes or Predictor.load(run, device="cpu").classes_
    for way, predictor in {
        "exact": Predictor.load(run, classes, device="cpu", top=9),
        "tangent": Predictor.load(run, classes, device="cpu", top=9, inference="tangent"),
        "zero-shot": Predictor.zero_shot("tiny", names, device="cpu", top=9),
    }.items():
        expected = predictor(given)
        assert [row["image"] for row in results[way]] == [path.name for path in paths]
        assert [row["class"] for row in results[way]] == expected["class"]
        assert [row["top"] for row in results[way]] == expected["top"]


def test_what_comes_together_is_answered_together_and_the_same(client, served):
    """Twenty at once, of two runs and three lists of classes; equal up to the rounding of batches."""
    asked = [
        (path, {"run": name, **({"classes": json.dumps(names)} if name == "cocoop" and names else {})})
        for name in ("cocoop", "linear-probe")
        for names, path in zip([None, ["one", "six"], None, ["a", "b", "c"], None] * 2, served.paths, strict=False)
    ]
    alone = [send(client, path, **fields).json()["results"]["exact"] for path, fields in asked]
    with ThreadPoolExecutor(20) as pool:
        together = list(pool.map(lambda one: send(client, one[0], **one[1]), asked))
    for one, answer in zip(alone, together, strict=True):
        (row,), (expected,) = answer.json()["results"]["exact"], one
        assert row["class"] == expected["class"]
        assert row["probability"] == pytest.approx(expected["probability"], abs=1e-5)


def test_the_model_thread_takes_several_questions_at_a_time():
    import asyncio

    class Question:
        size = 1

    sizes, begin = [], threading.Event()

    def answer(questions):
        begin.wait(10)
        sizes.append(len(questions))
        return [ValueError("odd") if number % 2 else number for number in range(len(questions))]

    async def ask_all():
        asked = [asyncio.ensure_future(thread.ask(Question())) for _ in range(9)]
        await asyncio.sleep(0.05)
        asked[-1].cancel()  # nobody waits for it: it is not begun
        begin.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    thread = ModelThread(answer, 1)
    outcomes = asyncio.run(ask_all())
    thread.close()
    assert sum(sizes) == (8 if len(sizes) > 1 else 9) and max(sizes) > 1
    assert {type(outcome) for outcome in outcomes} >= {int, ValueError}


def test_runs_say_what_they_can(client):
    told = client.get("/runs").json()
    prompt, probe = told["runs"][:2]
    assert (prompt["name"], prompt["ways"], prompt["bound"]) == ("cocoop", ["exact", "tangent", "zero-shot"], None)
    assert probe["ways"] == ["exact", "zero-shot"] and "tangent inference" in probe["refused"]["tangent"]
    assert [run["clip"] for run in told["runs"][:2]] == ["tiny", "tiny"]
    assert "weights of its own" in probe["bound"] and prompt["learns"] and probe["learns"]
    assert told["limits"] == {"upload": 200_000, "pixels": 100_000, "classes": 20, "seconds": 60, "pictures": 64}
    assert client.get("/health").json()["status"] == "ok"


def test_a_page_of_its_own_and_openapi_without_anything_from_elsewhere(client):
    page = client.get("/")
    assert "http" not in page.text.replace("http-equiv", "") and client.get("/page.js").status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    described = client.get("/openapi.json").json()
    paths = described["paths"]
    for route in (route for methods in paths.values() for route in methods.values()):
        refused = [route["responses"][code]["content"]["application/json"] for code in ("4XX", "422", "5XX")]
        assert [answer["schema"]["$ref"] for answer in refused] == ["#/components/schemas/Error"] * 3
    assert set(paths) == {"/health", "/runs", "/predict", "/csv", "/learn", "/run.zip"}
    form = paths["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"image", "run", "classes", "ways", "top"} and form["required"] == ["image"]
    assert error_of(client.get("/docs"), 404).startswith("expected an address of this server; got GET /docs")


def test_all_ways_see_the_same_pixels(served, tmp_path):
    """Of a run that leaves photos as they are stored, zero-shot alone does, too."""
    shutil.copytree(served.runs[0], tmp_path / "run")
    for name in ("config", "record"):
        file = tmp_path / "run" / f"{name}.json"
        file.write_text(file.read_text().replace('"exif": "apply"', '"exif": "ignore"'))
    turned = Image.open(served.paths[-1]).convert("RGB")
    exif = turned.getexif()
    exif[0x0112] = 6
    content = io.BytesIO()
    turned.save(content, "PNG", exif=exif)
    upright = {"image": [served.paths[-1].read_bytes()]}
    expected = Predictor.zero_shot("tiny", ["one", "seven", "three"], device="cpu")(upright)["probability"]
    with (
        serving([tmp_path / "run"], machine={"device": "cpu"}, threads=1) as app,
        TestClient(app, base_url="http://127.0.0.1") as client,
    ):
        told = client.post("/predict", files={"image": content.getvalue()}, data={"ways": "zero-shot"}).json()
    assert [row["probability"] for row in told["results"]["zero-shot"]] == pytest.approx(expected, abs=1e-5)


def test_csv_is_that_of_cocoop_predict(client, served):
    rows = send(client, *served.paths[:2], top="2").json()["results"]["exact"]
    rows[0]["image"], rows[1]["image"] = "=1+1", '"a",\n😀'
    rows.append({"image": "bad.png", "error": "why"})
    answer = client.post("/csv", json={"rows": rows})
    assert answer.headers["content-disposition"] == 'attachment; filename="predictions.csv"'
    read = [*csv.reader(io.StringIO(answer.content.decode(), newline=""))]
    assert read[0] == ["image", "class", "probability", "error", "class_2", "probability_2"]
    assert [row[0] for row in read[1:]] == ["'=1+1", '"a",\n😀', "bad.png"]
    assert [float(row[2]) for row in read[1:3]] == [row["probability"] for row in rows[:2]]
    assert read[3] == ["bad.png", "", "", "why", "", ""]
    alone = client.post("/csv", json={"rows": [{"image": "a", "class": "b", "probability": 0.5}]})
    assert alone.text.splitlines()[1] == "a,b,0.5,"
    for wrong, told in (({"rows": [{}]}, "rows.0.image"), ([], "Input should be"), ({"rows": 3}, "valid list")):
        assert told in error_of(client.post("/csv", json=wrong), 400)
    assert "expected JSON" in error_of(client.post("/csv", content=b'{"rows": NaN}'), 400)


def test_an_exported_model_says_one_thing_in_one_way_and_nothing_of_where_it_lies(served, tmp_path):
    folder = export(load_learned(served.runs[0]), "safetensors-head", tmp_path / "model").folder
    with (
        serving([folder], machine={"device": "cpu"}, threads=1) as app,
        TestClient(app, base_url="http://127.0.0.1") as client,
    ):
        (row,) = send(client, served.paths[0]).json()["results"]["exact"]
        expected = Predictor.load(folder)({"image": [str(served.paths[0])]})
        assert row["probability"] == expected["probability"][0]
        (run,) = client.get("/runs").json()["runs"]
        assert (run["ways"], run["learns"], set(run["refused"])) == (["exact"], False, {"tangent", "zero-shot"})
        for fields in ({"ways": "tangent"}, {"ways": "zero-shot"}, {"classes": '["a", "b"]'}):
            assert "an exported model" in error_of(send(client, served.paths[0], **fields), 400)
        labels = {"label": ["one", "seven"]}
        assert "an exported model" in error_of(send(client, *served.paths[:2], to="/learn", **labels), 400)
        assert str(tmp_path) not in client.get("/runs").text


def test_runs_on_one_clip_share_it(served):
    with serving(served.runs, machine={"device": "cpu"}) as app:
        clips = {id(run.clip) for run in app.state.services.models.runs.values()}
        assert len(clips) == 1 and isinstance(next(iter(app.state.services.models.runs.values())).clip, CLIP)
