"""The memory budget: how it is read, that it changes nothing but memory, and that it holds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peak_bytes import PeakBytes

from cocoop import CLIP, CoCoOp, InputError
from cocoop.clip import Prompts, slot
from cocoop.clip.text.memory import free_memory, parse_memory
from cocoop.clip.text.tower import TextTower

SOS, EOT, SLOTS = 198, 199, 4
NAMES = [3, 4, 3, 6, 3, 5, 4, 3, 9, 4]  # suffix tokens, one after the other


def build_tower(width=64, layers=6):
    torch.manual_seed(0)
    tower = TextTower(
        vocabulary=200, context_length=32, width=width, layers=layers, heads=4, hidden=4 * width, joint_width=32
    ).requires_grad_(False)
    torch.nn.init.normal_(tower.positions, std=0.01)
    return tower


def build_prompts(tower, classes, slots=SLOTS):
    generator = torch.Generator().manual_seed(0)
    prompts = []
    for k in range(classes):
        name = torch.randint(SOS, (NAMES[k % len(NAMES)] - 2,), generator=generator).tolist()
        prompts.append([SOS, *map(slot, range(slots)), *name, 1 + k % (SOS - 1), EOT])
    return Prompts(tower, [f"class {k}" for k in range(classes)], prompts)


def features_and_gradient(prompts, images, width):
    context = torch.randn(images, SLOTS, width, generator=torch.Generator().manual_seed(1)).requires_grad_()
    features = prompts.encode(context)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2))
    (features * weights).sum().backward()
    return features.detach(), context.grad


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("4GB", 4e9),
        ("500 MB", 5e8),
        ("2GiB", 2**31),
        ("1.5gb", 1.5e9),
        ("123456", 123456),
        (123456, 123456),
        ("1kib", 1024),
    ],
)
def test_sizes(given, size):
    assert parse_memory(given) == size


@pytest.mark.parametrize("given", ["", "much", "4 XB", "-1GB", "0", 0, "GB", "1e", "1e400", "1e99", None, True])
def test_what_is_no_size_is_refused(given):
    with pytest.raises(InputError, match="memory_budget: expected auto, or a size such as 4GB"):
        parse_memory(given)


@settings(deadline=None, max_examples=25)
@given(budget=st.integers(8_000_000, 60_000_000), images=st.integers(1, 5), classes=st.integers(1, 120))
def test_any_budget_gives_the_same_values_and_gradients(budget, images, classes):
    tower = build_tower()
    features, gradient = features_and_gradient(build_prompts(tower, classes), images, 64)
    tower.memory_budget = budget
    divided, divided_gradient = features_and_gradient(build_prompts(tower, classes), images, 64)
    # Float32 sums in another order: some tens of roundings of unit-norm features, and of gradients summed over classes.
    torch.testing.assert_close(divided, features, rtol=0, atol=1e-6)
    assert (divided_gradient - gradient).norm() <= 1e-5 * gradient.norm()


@pytest.mark.parametrize(("megabytes", "images"), [(7, 1), (10, 1), (30, 1), (10, 8), (30, 8), (90, 8)])
def test_the_budget_holds(megabytes, images):
    tower = build_tower()
    tower.memory_budget = megabytes * 10**6
    with PeakBytes() as bytes_used:
        prompts = build_prompts(tower, 600)
        features_and_gradient(prompts, images, 64)
    assert bytes_used.peak <= 1.1 * tower.memory_budget


@pytest.mark.parametrize("megabytes", [6, 8, 20, 60])
def test_the_budget_holds_with_long_prefixes_few_classes_and_many_images(megabytes):
    tower = build_tower()
    tower.memory_budget = megabytes * 10**6
    with PeakBytes() as bytes_used:
        prompts = build_prompts(tower, 2, slots=16)
        context = torch.randn(32, 16, 64).requires_grad_()
        prompts.encode(context).square().sum().backward()
    assert bytes_used.peak <= 1.1 * tower.memory_budget


def test_what_is_free_is_what_the_container_may_still_take(tmp_path, monkeypatch):
    limit, used = tmp_path / "limit", tmp_path / "used"
    limit.write_text("30000000\n")
    used.write_text("10000000\n")
    monkeypatch.setattr("cocoop.clip.text.memory._CONTROL_GROUPS", ((str(limit), str(used)), ("/no/such", "/no/such")))
    assert free_memory(torch.device("cpu")) == 20_000_000
    limit.write_text("max\n")
    assert free_memory(torch.device("cpu")) > 20_000_000


def test_what_is_free_without_linux(monkeypatch):
    def missing(*_):
        raise OSError

    monkeypatch.setattr("pathlib.Path.read_text", missing)
    built_in = free_memory(torch.device("cpu"))
    monkeypatch.delattr("os.sysconf")
    assert built_in > 0 < free_memory(torch.device("cpu"))


def test_a_small_budget_computes_again_and_a_large_one_does_not():
    def multiply_adds(budget):
        from torch.utils.flop_counter import FlopCounterMode

        tower = build_tower()
        tower.memory_budget = budget
        prompts = build_prompts(tower, 600)
        with FlopCounterMode(display=False) as counter:
            features_and_gradient(prompts, 1, 64)
        return counter.get_total_flops()

    large, small = multiply_adds(10**9), multiply_adds(10**7)
    assert 1.3 * large < small < 1.6 * large  # a forward pass more than forward and backward: half as much again


def test_scoring_streams(monkeypatch):
    """Without gradients memory does not grow with the number of images, but for the features themselves."""
    tower = build_tower()
    tower.memory_budget = 10**7
    prompts = build_prompts(tower, 600)
    peaks = []
    for images in (2, 12):
        context = torch.randn(images, SLOTS, 64)
        with torch.no_grad(), PeakBytes() as bytes_used:
            features = prompts.encode(context)
        peaks.append(bytes_used.peak - 2 * features.nbytes)  # its parts, and all of them side by side
    assert peaks[1] <= 1.1 * peaks[0]


def test_a_budget_too_small_for_one_step_says_how_much_it_takes():
    tower = build_tower()
    tower.memory_budget = 3_000_000
    prompts = build_prompts(tower, 600)
    with pytest.raises(
        InputError, match=r"memory_budget: expected at least \d+ MB to train with \d+ different prompts and 8 images"
    ):
        features_and_gradient(prompts, 8, 64)
    with torch.no_grad():
        prompts.encode(torch.zeros(8, SLOTS, 64))


def test_a_budget_too_small_for_one_prompt_says_how_much_it_takes():
    tower = build_tower()
    tower.memory_budget = 10_000
    with pytest.raises(InputError, match=r"memory_budget: expected at least \d+ MB"):
        build_prompts(tower, 10)


def test_the_budget_is_an_argument_of_load():
    clip = CLIP.load("tiny", device="cpu", memory_budget="64MB")
    assert clip.text.memory_budget == 64_000_000
    names = [f"thing {k}" for k in range(300)]
    free = CLIP.load("tiny", device="cpu")
    features = torch.nn.functional.normalize(torch.randn(2, clip.embed_dim, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    ours = CoCoOp(clip, names)
    torch.manual_seed(0)
    theirs = CoCoOp(free, names)
    torch.testing.assert_close(ours(features), theirs(features), rtol=0, atol=1e-4)  # logits: cosines times 100
