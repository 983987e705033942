"""The papers' learning rates: one warm-up epoch and then half a cosine, or the cosine alone."""

import math

WARMUP_LR = 1e-5


def learning_rate(epoch: int, epochs: int, lr: float, schedule: str = "warm-up") -> float:
    """The rate of a whole epoch, counted from 0.

    "warm-up": 1e-5 in epoch 0, then lr/2 (1 + cos(pi (e - 1) / epochs)). As the original steps it
    (Dassl:dassl/optim/lr_scheduler.py, WARMUP_RECOUNT): the cosine's period counts the warm-up epoch, so the rate never
    reaches 0. With lr=0.002 and 10 epochs: 1e-5, 0.002, 1.951e-3, ... 1.91e-4.
    "cosine": lr/2 (1 + cos(pi e / epochs)).
    """
    if schedule == "cosine":
        return lr / 2 * (1 + math.cos(math.pi * epoch / epochs))
    if epoch == 0:
        return WARMUP_LR
    return lr / 2 * (1 + math.cos(math.pi * (epoch - 1) / epochs))


def warm_up_only(epochs: int, schedule: str = "warm-up") -> str | None:
    """A warning if the warm-up epoch is the whole training, else None."""
    if epochs > 1 or schedule != "warm-up":
        return None
    return f"the only epoch is the warm-up, at a learning rate of {WARMUP_LR:g}; take 2 epochs or more to learn"
