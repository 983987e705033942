"""Checkpoints of the original code: read, compared with the CLIP and the class names, and written again."""

from __future__ import annotations

from pathlib import Path

import golden_clip
import numpy as np
import official_code
import pytest
import torch
from golden_clip import FACTS, VALUES
from safetensors.torch import save_file
from test_golden import CASES, LOGITS
from torch.nn.functional import normalize

from cocoop import CLIP, CoOp, InputError, PromptClassifier
from cocoop.official import gaps, read_official, write_official
from cocoop.results import read_record

OFFICIAL = Path(__file__).parents[3] / "shared" / "reference" / "official_cocoop.pth.tar"
NAMES = FACTS["class_names"]
SPELLED = [name.replace("_", " ") for name in NAMES]
"""As a run keeps them whose tokenizer knows no others."""


def checkpoint(case: str = "cocoop_words", names=NAMES, dtype=torch.float32, change=None, **more):
    """The state that a training of the golden case begins with, as the original saves it."""
    start = f"{case}.init."
    learned = {key.removeprefix(start): value for key, value in VALUES.items() if key.startswith(start)}
    length = learned["ctx"].shape[-2]
    rows = official_code.token_rows([FACTS["tokens"][name.replace("_", " ") + "."] for name in names], length)
    embedding = golden_clip.state_dict()["token_embedding.weight"]
    state = {"ctx": learned.pop("ctx"), **official_code.buffers(embedding, rows, length), **learned, **(change or {})}
    return {"state_dict": {name: t.to(dtype) for name, t in state.items() if t is not None}, "epoch": 10, **more}


def written(folder: Path, content, name: str = "model.pth.tar-10") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / name)
    return folder / name


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_original(golden, tmp_path, case):
    position = case.split("_")[-2] if case.endswith(("middle_random", "front_random")) else None
    settings = {"class_position": position} if position else {}
    classifier = read_official(written(tmp_path, checkpoint(case)), golden, NAMES, settings=settings)
    assert (classifier.model_(VALUES["image_features"]) - VALUES[f"{case}.logits"]).abs().max() < LOGITS
    assert classifier.fit_.imported.checked and classifier.fit_.imported.epoch == 10
    assert classifier.model_.settings.get("class_specific", False) == ("csc" in case)


class Words:
    """Tokens of three names, for a CLIP of 40 tokens."""

    bos_token_id, eos_token_id = 38, 39
    tokens = {"one.": [5, 9], "two words.": [6, 7, 9], "three.": [8, 9]}  # noqa: RUF012

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self.tokens.get(text) or self.tokens[f"{text}."][:-1]


def wide_clip():
    """Random weights as wide as ViT-B/16's text tower, with one layer, and its joint width."""
    shapes = golden_clip.weights.shapes()
    wide = {name: shape for name, shape in shapes.items() if ".resblocks.1." not in name and ".2." not in name}
    old, new = 128, 512
    for name, shape in wide.items():
        if not name.startswith("visual"):
            wide[name] = tuple(
                {old: new, 3 * old: 3 * new, 4 * old: 4 * new, 49408: 40, 32: 512}.get(n, n) for n in shape
            )
    wide["visual.proj"] = (128, 512)
    draw = torch.Generator().manual_seed(3)
    state = {name: torch.randn(shape, generator=draw) * 0.05 for name, shape in wide.items()}
    return state | {"logit_scale": torch.tensor(100.0).log()}


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="no checkpoint of the original's layout beside the checkout")
def test_a_checkpoint_with_a_pickled_scheduler_gives_the_original_s_logits():
    """Its buffers are random, of no CLIP; the original never looks at them."""
    state = wide_clip()
    clip = CLIP.load(state, tokenizer=Words(), device="cpu")
    names = [name.removesuffix(".") for name in Words.tokens]
    with pytest.raises(
        InputError, match=r"pth\.tar: expected the start token of state dict in token_prefix; got another"
    ):
        read_official(OFFICIAL, clip, names)
    classifier = read_official(OFFICIAL, clip, names, checked=False)
    assert classifier.fit_.imported.dtype == "float16" and not classifier.fit_.imported.checked
    image_features = normalize(torch.randn(4, 512, generator=torch.Generator().manual_seed(1)), dim=1)
    learned = torch.load(OFFICIAL, weights_only=False)["state_dict"]
    rows = official_code.token_rows(list(Words.tokens.values()), 4, (38, 39))
    expected = official_code.cocoop_logits(state, learned, rows, image_features)
    logits = classifier.model_(image_features).double()
    assert (expected.max() - expected.min()) > 1  # the classes differ
    assert ((logits - expected).abs() / expected.abs().max()).max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("case", ["cocoop_random", "coop_csc_middle_random"])
def test_through_a_run_and_back_the_tensors_are_equal(golden, tmp_path, case, dtype):
    given = checkpoint(case, dtype=dtype)
    classifier = read_official(written(tmp_path, given), golden, SPELLED)
    run = PromptClassifier.load(classifier.save(tmp_path / "run"), golden)
    features = VALUES["image_features"]
    assert torch.equal(run.model_(features), classifier.model_(features))
    file = write_official(run, tmp_path / "output")
    assert file == tmp_path / "output" / "prompt_learner" / "model.pth.tar-10"
    assert file.with_name("checkpoint").read_text() == "model.pth.tar-10\n"
    back = torch.load(file, weights_only=True)
    assert (back["epoch"], back["val_result"]) == (10, None)
    assert back["state_dict"].keys() == given["state_dict"].keys()
    for name, tensor in given["state_dict"].items():
        assert back["state_dict"][name].dtype == dtype and torch.equal(back["state_dict"][name], tensor), name


def test_a_checkpoint_goes_into_a_module_of_the_original_s_names(golden, tmp_path):
    """`load_model` drops the two buffers and takes the others by name."""
    model = CoOp(golden, NAMES)
    classifier = PromptClassifier("coop", golden)
    read = read_official(written(tmp_path, checkpoint("coop_words")), golden, NAMES)
    classifier.model_, classifier.classes_, classifier.fit_ = model, np.array(NAMES), read.fit_
    state = torch.load(write_official(classifier, tmp_path / "out"), weights_only=True)["state_dict"]
    module = torch.nn.Module()
    module.ctx = torch.nn.Parameter(torch.zeros(4, golden.text.width))
    kept = {name: tensor for name, tensor in state.items() if name not in ("token_prefix", "token_suffix")}
    assert module.load_state_dict(kept, strict=True) and torch.equal(module.ctx, model.ctx)


SWAPPED = [NAMES[1], NAMES[0], *NAMES[2:]]
WRONG = {
    "an order": (
        {},
        SWAPPED,
        r"class 0, counted from 0, to be 'great_white_shark'; got 'tench', which you gave as class 1; 2 of 9 classes "
        r"differ: the names are in another order\.",
    ),
    "a name": (
        {},
        ["otter", *NAMES[1:]],
        r"class 0, counted from 0, to be 'otter'; got one whose tokens read '1149 634 269'; 1 of 9 classes differ: the "
        "names are others",
    ),
    "too few names": ({}, NAMES[:3], "expected 9 class names, as many as it was learned on; got 3"),
    "other embeddings of names": ({"token_suffix": 2.0}, NAMES, "no tokens of state dict: those of another CLIP"),
    "another start token": ({"token_prefix": 2.0}, NAMES, "the start token of state dict in token_prefix; got another"),
    "another width": (
        {"ctx": torch.zeros(4, 512)},
        NAMES,
        "a CLIP with text width 512 and joint width 32, as the prompt has; got state dict with text width 128 and ",
    ),
    "another joint width": (
        {"meta_net.linear1.weight": torch.zeros(2, 64)},
        NAMES,
        "text width 128 and joint width 64",
    ),
    "another context": (
        {"ctx": torch.zeros(5, 128)},
        NAMES,
        "expected 71 positions behind a context of 5 vectors, with which state dict has its 77; got 72: it is of ",
    ),
    "another hidden layer": (
        {"meta_net.linear1.bias": torch.zeros(5)},
        NAMES,
        r"meta_net.linear1.bias of shape \[2\]; got \[5\]",
    ),
    "numbers that are not finite": ({"ctx": torch.full((4, 128), torch.nan)}, NAMES, "ctx of finite numbers"),
    "no context": ({"ctx": None}, NAMES, "expected a prompt of the original code, .* got token_prefix, token_suffix, "),
    "no prefix": ({"token_prefix": None}, NAMES, "with or without token_prefix and token_suffix; got ctx, "),
    "a tensor more": ({"compound.0": torch.zeros(1)}, NAMES, "Prompts of other methods cannot be imported"),
    "one axis": ({"ctx": torch.zeros(128)}, NAMES, r"got ctx of shape \[128\]"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_differs_is_said(golden, tmp_path, what):
    change, names, message = WRONG[what]
    buffers = checkpoint()["state_dict"]
    change = {name: buffers[name] * by if isinstance(by, float) else by for name, by in change.items()}
    with pytest.raises(InputError, match=rf"^{tmp_path}.*{message}|^model\.pth\.tar-10: .*{message}") as refusal:
        read_official(written(tmp_path, checkpoint(change=change)), golden, names)
    assert "\n" not in str(refusal.value)


@pytest.mark.skipif(not golden_clip.VOCABULARY.is_dir(), reason="no copy of OpenAI's vocabulary beside the checkout")
def test_another_name_is_read_back_from_its_tokens(tmp_path):
    clip = golden_clip.load(tokenizer=golden_clip.VOCABULARY)
    with pytest.raises(InputError, match="to be 'cat'; got one whose tokens read 'great white shark'; 1 of 9"):
        read_official(written(tmp_path, checkpoint()), clip, [NAMES[0], "cat", *NAMES[2:]])


def test_tokens_behind_the_end_do_not_matter(golden, tmp_path):
    content = checkpoint()
    content["state_dict"]["token_suffix"][:, -20:] = 1.0
    assert read_official(written(tmp_path, content), golden, NAMES).fit_.imported.checked


@pytest.mark.parametrize("prefix", ["", "module.", "prompt_learner.", "module.prompt_learner."])
@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_bare_state_dict(golden, tmp_path, form, prefix):
    learned = {name: t for name, t in checkpoint()["state_dict"].items() if not name.startswith("token_")}
    path = tmp_path / f"prompt.{form}"
    (save_file if form == "safetensors" else torch.save)({f"{prefix}{name}": t for name, t in learned.items()}, path)
    classifier = read_official(path, golden, NAMES)
    assert all(torch.equal(tensor, learned[name]) for name, tensor in classifier.model_.state_dict().items())
    assert (classifier.fit_.imported.epoch, classifier.fit_.imported.checked) == (None, False)
    assert "its CLIP and class names were not compared" in " ".join(gaps(classifier))


@pytest.mark.parametrize(
    ("case", "settings", "message"),
    [
        ("cocoop_words", {"class_position": "middle"}, "the method cocoop has no such setting"),
        ("coop_words", {"class_position": "back"}, "class_position: expected one of end, middle, front"),
        (
            "coop_words",
            {"context_length": 4},
            "context_length: expected nothing, because the checkpoint tells it; got 4",
        ),
    ],
)
def test_settings_that_cannot_be(golden, tmp_path, case, settings, message):
    with pytest.raises(InputError, match=message):
        read_official(written(tmp_path, checkpoint(case)), golden, NAMES, settings=settings)


def output(folder: Path, *epochs: int) -> Path:
    for epoch in epochs:
        content = checkpoint("coop_words") | {"epoch": epoch}
        written(folder / "prompt_learner", content, f"model.pth.tar-{epoch}")
    return folder


def test_an_output_folder_and_its_log(golden, tmp_path):
    folder = output(tmp_path / "seed2", 2, 50, 10)
    assert read_official(folder, golden, NAMES).fit_.imported.epoch == 50
    assert read_official(folder / "prompt_learner", golden, NAMES).fit_.imported.epoch == 50
    (folder / "prompt_learner" / "checkpoint").write_text("model.pth.tar-10\n")
    (folder / "log.txt").write_text(official_code.LOG)
    classifier = read_official(folder, golden, NAMES)
    fit = classifier.fit_
    assert (fit.imported.epoch, fit.parameters.seed, fit.shots, fit.dataset) == (10, 2, 16, "oxford_pets")
    assert classifier.model_.settings["class_position"] == "middle"
    assert not [note for note in gaps(classifier) if "log.txt" in note]
    chosen = read_official(
        folder / "prompt_learner" / "model.pth.tar-2", golden, NAMES, settings={"class_position": "end"}
    )
    assert (chosen.fit_.imported.epoch, chosen.fit_.parameters.seed) == (2, 2)
    assert chosen.model_.settings["class_position"] == "end"


@pytest.mark.parametrize("seed", ["-1", "x", "", "9" * 30])
def test_a_seed_that_a_log_does_not_tell(golden, tmp_path, seed):
    folder = output(tmp_path, 10)
    (folder / "log.txt").write_text(official_code.LOG.replace("SEED: 2", f"SEED: {seed}"))
    assert read_official(folder, golden, NAMES).fit_.parameters.seed is None


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("../../evil", "checkpoint: expected the name of a checkpoint, such as model.pth.tar-10; got '../../evil'"),
        ("model.pth.tar-7", "model.pth.tar-7: expected a weights file that can be read; got: No such file"),
        ("x" * 2000, "checkpoint: expected the name of a checkpoint; got more than 1,000 bytes"),
    ],
)
def test_pointers_that_point_at_nothing(golden, tmp_path, pointer, message):
    (output(tmp_path, 10) / "prompt_learner" / "checkpoint").write_text(pointer)
    with pytest.raises(InputError, match=message):
        read_official(tmp_path, golden, NAMES)


def test_folders_that_are_none(golden, tmp_path):
    with pytest.raises(InputError, match=r"an output folder of the original code, .* got an empty folder"):
        read_official(tmp_path, golden, NAMES)
    run = read_official(written(tmp_path, checkpoint()), golden, SPELLED).save(tmp_path / "run")
    with pytest.raises(InputError, match="got a run folder, which needs no import"):
        read_official(run, golden, NAMES)


def test_what_nobody_said_is_unknown_in_the_record_and_on_the_card(golden, tmp_path):
    folder = read_official(written(tmp_path, checkpoint()), golden, SPELLED).save(tmp_path / "run")
    record = read_record(folder)
    unknown = ("seed", "shots", "training_images", "dataset", "seconds", "learning", "split_hash", "peak_memory_mb")
    assert [getattr(record, name) for name in unknown] == [None] * len(unknown)
    assert (record.imported.file, record.imported.epoch, record.imported.dtype) == ("model.pth.tar-10", 10, "float32")
    card = (folder / "README.md").read_text()
    for row in ("training images", "seed", "seconds"):
        assert f"| {row} | unknown |" in card
    assert "| imported from | model.pth.tar-10, epoch 10 (SHA-256" in card
    again = PromptClassifier.load(folder, golden)
    assert read_record(again.save(tmp_path / "again")) == record
    with pytest.raises(InputError, match="seed: expected an integer"):
        again.fit([], [])


def test_methods_that_the_original_has_not(golden, tmp_path):
    classifier = read_official(written(tmp_path, checkpoint("coop_words")), golden, NAMES)
    classifier.model_.similarity = "dot"
    with pytest.raises(InputError, match=r"expected a prompt of CoOp, .* got similarity=dot"):
        write_official(classifier, tmp_path / "out")
    assert not (tmp_path / "out").exists()
