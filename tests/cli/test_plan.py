"""`cocoop plan`: its table, and what it refuses."""

import pytest


def test_the_command(cocoop):
    ran = cocoop("plan", "1e9", "--clip", "tiny", "--way", "tangent", "--class-count", 3, "--gpus", 8, "--tflops", 350)
    assert ran.code == 0, ran.err
    assert "1,000,000,000 pictures, tiny, tangent, 3 classes" in ran.out
    assert "assumed (--tflops): 350 TFLOP/s on each of 8 GPUs" in ran.out and "the bottleneck is the " in ran.out
    assert ran.out.count("| decoding") == 1 and "to make tangent prompts" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("many",), "N_IMAGES: expected a whole number of 1 or more, such as 500 or 1e9; got 'many'"),
        (("0",), "N_IMAGES: expected"),
        (("1.5",), "N_IMAGES: expected"),
        (("9", "--way", "guess"), "--way: expected one of features, zero-shot, exact, tangent; got 'guess'"),
        (("9", "--class-count", 1), "--class-count: expected 2 or more; got 1"),
        (("9", "--sample", "."), "--sample: expected a folder with pictures"),
        (("9", "--clip", "tiny", "--gpus", 8), "Give --tflops"),
    ],
)
def test_a_plan_that_cannot_be(cocoop, arguments, message):
    ran = cocoop("plan", *arguments)
    assert (ran.code, ran.out) == (2, "") and message in ran.err
