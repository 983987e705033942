"""Trains the small CLIP on the cached pictures, on CPU, for a given number of minutes.

`python -m tools.tiny_clip.train --work tiny-clip-work --out src/cocoop/clip/tiny --minutes 70`

The loss is CLIP's, with one change: a caption is right for every picture of the batch that bears its name ("star" is
right for each star), so the targets are shared out evenly among all right pairs instead of naming them false.
A stopped run goes on from its last checkpoint when started again. Where other programs use the cores too, set
OMP_WAIT_POLICY=PASSIVE in the environment: it made a step four times faster.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import CLIPModel

from cocoop.data.drawn.distort import SIZE

from . import bpe, model
from .captions import caption, choose_name
from .pictures import FAMILIES, class_names, render
from .render import SEED, files

BATCH, PEAK_RATE, WEIGHT_DECAY, WARM_UP = 128, 1e-3, 0.1, 0.03
SAVE_EVERY = 240.0  # seconds


class Pictures:
    """The cached pictures; every draw gives fresh captions and a little shift, contrast and brightness."""

    def __init__(self, work: Path, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pixels = np.concatenate([np.load(files(work, family)[0]) for family in FAMILIES])
        lines = [line for family in FAMILIES for line in files(work, family)[1].read_text().splitlines()]
        self.names = [tuple(line.split("|")) for line in lines]
        self.order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self) -> tuple[Tensor, list[str], Tensor]:
        """Bytes [B, 32, 32, 3], B captions, and right[i, j]: whether caption j is right for picture i."""
        if len(self.order) < BATCH:
            self.order = self.rng.permutation(len(self.pixels))
        index, self.order = self.order[:BATCH], self.order[BATCH:]
        names = [self.names[i] for i in index]
        chosen = [choose_name(some, self.rng) for some in names]
        right = torch.tensor([[name in set_ for name in chosen] for set_ in map(frozenset, names)])
        return self._shaken(self.pixels[index]), [caption(name, self.rng) for name in chosen], right

    def _shaken(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Shifts every picture by up to 2 pixels (repeating its edge) and changes contrast and brightness."""
        side = np.arange(SIZE)
        rows, columns = (np.clip(side + self.rng.integers(-2, 3, (len(pixels), 1)), 0, SIZE - 1) for _ in range(2))
        shifted = torch.from_numpy(pixels[np.arange(len(pixels))[:, None, None], rows[:, :, None], columns[:, None]])
        gain = torch.from_numpy(self.rng.uniform(0.8, 1.2, (len(pixels), 1, 1, 1))).float()
        lift = torch.from_numpy(self.rng.uniform(-20, 20, (len(pixels), 1, 1, 1))).float()
        return (gain * shifted + lift).clamp(0, 255)


def encode(tokenizer: Tokenizer, captions: list[str]) -> tuple[Tensor, list[int]]:
    """The distinct captions as ids, padded with the end token to the longest, and where each caption is in them."""
    distinct = list(dict.fromkeys(captions))
    place = {text: i for i, text in enumerate(distinct)}
    rows = [encoding.ids for encoding in tokenizer.encode_batch(distinct)]
    longest = max(map(len, rows))
    return torch.tensor([row + row[-1:] * (longest - len(row)) for row in rows]), [place[text] for text in captions]


def loss_of(logits: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy from pictures to captions and back, against targets shared among all right pairs."""
    target = right.float()
    to_captions = -(target / target.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    to_pictures = -(target / target.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (to_captions + to_pictures) / 2


@torch.no_grad()
def zero_shot(net: CLIPModel, tokenizer: Tokenizer, pixels: Tensor, labels: Tensor, names: list[str]) -> float:
    """Share of pictures [N, 32, 32, 3] whose nearest "a photo of a {name}." is the right one."""
    texts = model.text_features(net, encode(tokenizer, [f"a photo of a {name}." for name in names])[0])
    nearest = torch.cat([(model.image_features(net, part) @ texts.T).argmax(1) for part in pixels.split(500)])
    return (nearest == labels).float().mean().item()


def rendered(family: str, split: str, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Pictures of a split, their labels, and the names of the family's classes."""
    names = list(class_names(family))
    pixels = np.stack([render(family, split, SEED, index).pixels for index in range(count)])
    return torch.from_numpy(pixels), torch.arange(count) % len(names), names


def rate_at(progress: float) -> float:
    """Learning rate after that share of the run: a short linear warm-up, then half a cosine down to zero."""
    if progress < WARM_UP:
        return PEAK_RATE * (progress + 1e-3) / WARM_UP
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))


def optimizer_for(net: CLIPModel) -> torch.optim.Optimizer:
    """AdamW that decays matrices only, not embeddings, norms, biases or the temperature."""
    named = list(net.named_parameters())
    decayed = [p for name, p in named if p.ndim >= 2 and "embedding" not in name]
    free = [p for name, p in named if p.ndim < 2 or "embedding" in name]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)


class Run:
    """A training run: model, optimizer, and how far they are."""

    def __init__(self, work: Path, out: Path, minutes: float) -> None:
        torch.manual_seed(SEED)
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.checkpoint, self.seconds = out, work / "checkpoint.pt", 60 * minutes
        self.tokenizer = bpe.build_once(work)
        bpe.save(self.tokenizer, out)
        vocab = self.tokenizer.get_vocab()
        self.net = model.build(len(vocab), vocab[bpe.START], vocab[bpe.END])
        self.optimizer = optimizer_for(self.net)
        self.step, self.spent = 0, 0.0
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint)
            self.net.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.spent = state["step"], state["spent"]
        self.pictures = Pictures(work, np.random.default_rng([SEED, self.step]))
        self.checks = {family: rendered(family, "validation", 1040) for family in FAMILIES}

    def train(self) -> None:
        """Trains until the time is spent, saving on the way and at the end."""
        saved, last, losses = self.spent, time.monotonic(), []
        while self.spent < self.seconds:
            losses.append(self._learn())
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            self.step += 1
            if self.step % 100 == 0:
                print(
                    f"step {self.step}, {self.spent / 60:.1f} min, loss {np.mean(losses[-100:]):.3f}",
                    flush=True,
                )
            if self.spent - saved > SAVE_EVERY or self.spent >= self.seconds:
                self._save()
                saved = self.spent

    def _learn(self) -> float:
        pixels, captions, right = self.pictures.batch()
        ids, place = encode(self.tokenizer, captions)
        scale = self.net.logit_scale.exp()
        texts = model.text_features(self.net, ids)[place]
        loss = loss_of(scale * model.image_features(self.net, pixels) @ texts.T, right)
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.spent / self.seconds)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.net.logit_scale.clamp_(max=math.log(100))
        return loss.item()

    def _save(self) -> None:
        state = {"model": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        new = self.checkpoint.with_suffix(".new")
        torch.save({**state, "step": self.step, "spent": self.spent}, new)
        new.replace(self.checkpoint)
        model.save(self.net, self.out)
        marks = {family: zero_shot(self.net, self.tokenizer, *check) for family, check in self.checks.items()}
        print("validation: " + ", ".join(f"{family} {mark:.1%}" for family, mark in marks.items()), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("tiny-clip-work"))
    parser.add_argument("--out", type=Path, default=Path("src/cocoop/clip/tiny"))
    parser.add_argument("--minutes", type=float, default=70)
    options = parser.parse_args()
    Run(options.work, options.out, options.minutes).train()
