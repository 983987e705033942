"""A plan is arithmetic on rates: each figure here is worked out by hand."""

import pytest

from cocoop import CLIP, InputError
from cocoop.bench import (
    SHAPES,
    Rates,
    TextSide,
    measure_rates,
    measure_text,
    photographs,
    plan,
    random_clip,
    shape_of,
)

RATES = Rates(
    device="cpu",
    dtype="float32",
    threads=2,
    decode_ms=10,
    tower_ms=100,
    tower_gflop=35,
    picture_bytes=50_000,
    row_bytes=1024,
    write_mb_s=512,
)
SIDE = TextSide("exact", 100, 40, 7)


def seconds(planned):
    return {part.name: part.seconds for part in planned.parts}


def test_without_gpus_cpus_do_all_and_all_adds_up():
    """1,000 pictures on 4 cores: 10 ms each of one core; 100 and 40 ms each of 2 threads."""
    planned = plan(1000, RATES, SIDE, cpus=4)
    expected = {"decoding": 2.5, "image tower": 50, "text side": 20, "writing": 0.002}
    assert seconds(planned) == pytest.approx(expected)
    assert planned.seconds == pytest.approx(72.5) and planned.bottleneck.name == "image tower"
    assert (planned.pictures_bytes, planned.features_bytes) == (50e6, 1.024e6)


def test_the_paper_plan_of_a_billion_waits_for_its_decoding():
    """35 GFLOP at 350 TFLOP/s are 0.1 ms: 10^5 seconds of one GPU; 10 ms of 256 cores are 3.9 times as long on 10."""
    planned = plan(10**9, RATES, TextSide("features", 0, 0, 0), cpus=256, gpus=10, tflops=350)
    assert seconds(planned) == pytest.approx({"decoding": 39062.5, "image tower": 1e4, "text side": 0, "writing": 2000})
    assert planned.seconds == pytest.approx(39062.5)
    assert (planned.bottleneck.name, planned.bottleneck.on) == ("decoding", "CPUs")
    assert planned.features_bytes == pytest.approx(1.024e12)
    sources = {part.name: part.source for part in planned.parts}
    assert "assumed (--tflops): 350 TFLOP/s on each of 10 GPUs" in sources["image tower"]
    assert "assumed: 256 cores like it" in sources["decoding"]


def test_a_gpu_that_is_here_is_measured_and_others_are_assumed_to_be_like_it():
    here = Rates(**vars(RATES) | {"device": "cuda:0"})
    planned = plan(1000, here, SIDE, cpus=10, gpus=2)
    assert seconds(planned)["image tower"] == pytest.approx(50) and seconds(planned)["text side"] == pytest.approx(20)
    assert planned.seconds == pytest.approx(70)  # while CPUs decode for one second
    assert "assumed: 2 like it" in planned.parts[1].source


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpus": 8}, "expected the TFLOP/s that each of 8 GPUs reaches"),
        ({"gpus": -1}, "gpus: expected 0 or more; got -1"),
        ({"tflops": 350.0}, "tflops: expected a rate above 0, of 1 GPU or more; got 350 of 0"),
        ({"gpus": 1, "tflops": 0.0}, "tflops: expected a rate above 0"),
        ({"cpus": 0}, "cpus: expected 1 or more"),
    ],
)
def test_what_is_not_known_is_not_guessed(given, message):
    with pytest.raises(InputError, match=message):
        plan(1000, RATES, SIDE, **{"cpus": 1} | given)


def test_rates_are_of_the_parts_they_say(tmp_path):
    """Times are held to no bound but that there are some; counts are."""
    clip = random_clip("tiny")
    rates = measure_rates(clip, photographs(2), tmp_path, rounds=1)
    assert min(rates.decode_ms, rates.tower_ms, rates.write_mb_s) > 0 and not list(tmp_path.iterdir())
    assert rates.row_bytes == 2 * clip.embed_dim and rates.picture_bytes > 10_000
    features, zero_shot, exact, tangent = measure_text(clip, ("features", "zero-shot", "exact", "tangent"), 3, 1)
    assert (features.ms, features.classes) == (0, 0) and min(zero_shot.ms, exact.ms, tangent.ms) > 0
    assert tangent.making_s > 0 == exact.making_s and exact.gflop > zero_shot.gflop > 0


def test_the_sizes_of_a_clip_are_those_of_its_shape():
    assert shape_of(random_clip("tiny")) == SHAPES["tiny"] == shape_of(CLIP.load("tiny", device="cpu"))
