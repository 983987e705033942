"""Each dtype against float64, to the tolerances that docs/speed.md states; and TF32's switches."""

from functools import cache

import golden_clip
import pytest
import torch
from golden_clip import FACTS, VALUES
from torch.nn.functional import cross_entropy, normalize

from cocoop import CLIP, CoCoOp, CoOp, InputError
from cocoop.clip.precision import TOLERANCES, Precision, find_precision, products


@cache
def load_golden(dtype):
    names, labels = FACTS["class_names"], torch.tensor(FACTS["labels"])
    return golden_clip.load(dtype=dtype), names, VALUES["image_features"], labels


@cache
def load_tiny(dtype):
    clip = CLIP.load("tiny", device="cpu", dtype=dtype)
    features = torch.randn(6, clip.embed_dim, generator=torch.Generator().manual_seed(0))
    return clip, ["cat", "red panda", "crane", "mug", "t-shirt"], normalize(features, dim=-1), torch.arange(6) % 5


def logits_and_gradients(load, dtype, method, state):
    """With the loss scaled where training scales it, so that float16's small gradients are what training sees."""
    clip, names, features, labels = load(dtype)
    model = method(clip, names, context=None, context_length=4)
    model.load_state_dict(state)
    logits = model(features.to(model.ctx.dtype))
    scale = 2.0**10 if dtype == "float16" else 1.0
    loss = cross_entropy(logits, labels)
    (loss * scale).backward()
    for tensor in (*model.parameters(), logits, loss, *(parameter.grad for parameter in model.parameters())):
        assert tensor.dtype == (torch.float64 if dtype == "float64" else torch.float32)
    gradients = torch.cat([parameter.grad.flatten().double() / scale for parameter in model.parameters()])
    return logits.detach().double(), gradients, clip.logit_scale


@pytest.mark.parametrize("method", [CoCoOp, CoOp])
@pytest.mark.parametrize("load", [load_golden, load_tiny])
@pytest.mark.parametrize("dtype", [dtype for dtype in TOLERANCES if dtype != "tf32"])  # of NVIDIA GPUs
def test_logits_and_gradients_against_float64(load, dtype, method):
    cosines, gradients = TOLERANCES[dtype]
    for seed in (0, 1):
        torch.manual_seed(seed)
        clip, names, *_ = load("float32")
        state = method(clip, names, context=None, context_length=4).state_dict()
        exact, exact_gradients, scale = logits_and_gradients(load, "float64", method, state)
        logits, logit_gradients, _ = logits_and_gradients(load, dtype, method, state)
        assert (logits - exact).abs().max() / scale < cosines
        error = (logit_gradients - exact_gradients).norm() / exact_gradients.norm()
        assert error < gradients
        if dtype != "float32":  # so that the tolerance says something
            assert error > gradients / 100


def test_names_of_precisions():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert find_precision("auto", cpu) == Precision(torch.float32)
    assert find_precision("auto", gpu) == Precision(torch.float16)
    assert find_precision(torch.bfloat16, cpu).name == "bfloat16"
    assert find_precision("tf32", gpu) == Precision(torch.float32, tf32=True)
    assert find_precision("tf32", gpu).name == "tf32"
    with pytest.raises(InputError, match="got 'tf32', which is a way of NVIDIA GPUs"):
        CLIP.load("tiny", device="cpu", dtype="tf32")


@pytest.mark.parametrize(
    ("precision", "device", "inside"),
    [
        (Precision(torch.float32, tf32=True), "cuda", ("high", True)),
        (Precision(torch.float32), "cuda", ("highest", False)),
        (Precision(torch.bfloat16), "cuda", ("highest", True)),
        (Precision(torch.float32), "cpu", ("highest", True)),
    ],
)
def test_switches_hold_inside_and_are_put_back(precision, device, inside):
    def switches():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = switches()
    assert before == ("highest", True)  # torch's own
    with pytest.raises(KeyError), products(precision, torch.device(device)):
        assert switches() == inside
        raise KeyError
    assert switches() == before


def test_tf32_is_for_the_towers_and_their_backward_pass_and_not_for_logits():
    """On a stand-in for a GPU: the switch as each matrix product of a training step meets it."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from cocoop.training import Step

    clip = golden_clip.load()
    clip.precision, clip.products = Precision(torch.float32, tf32=True), lambda: products(
        Precision(torch.float32, tf32=True), torch.device("cuda")
    )  # fmt: skip
    met = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.__name__.split(".")[0] in ("mm", "addmm", "bmm"):
                met.append(torch.get_float32_matmul_precision())
            return function(*args, **(kwargs or {}))

    step = Step(CoOp(clip, FACTS["class_names"]))
    with Watch():
        step(VALUES["image_features"], torch.tensor(FACTS["labels"]))
    assert met.count("highest") == 1  # x @ t.T
    assert met.count("high") > 10
    assert torch.get_float32_matmul_precision() == "highest"
