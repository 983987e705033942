"""Durations in words; bars on a terminal, lines elsewhere, nothing in workers."""

import io
import sys

import pytest

from cocoop import progress as module
from cocoop.progress import counter, duration, progress


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 seconds"),
        (119.4, "119 seconds"),
        (120, "2.0 minutes"),
        (576, "9.6 minutes"),
        (3_600, "1.0 hours"),
        (9_000, "2.5 hours"),
        (7_200_000, "2,000.0 hours"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def passing(self, items, seconds):
        for item in items:
            self.now += seconds
            yield item


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(module, "_bars", True)
    return made


def test_a_line_about_every_thirty_seconds(clock, capsys):
    with counter("training", 1600, " images") as bar:
        for number in range(480):
            bar.set_postfix_str(f"epoch {1 + number // 160} of 10, loss 0.52, accuracy 81 %", refresh=False)
            clock.now += 1 / 8
            bar.update(1)
    assert capsys.readouterr().err.splitlines() == [
        "training: epoch 2 of 10, loss 0.52, accuracy 81 %, 240 of 1,600 images, 8 images/s, 2.8 minutes left",
        "training: epoch 3 of 10, loss 0.52, accuracy 81 %, 480 of 1,600 images, 8 images/s, 2.3 minutes left",
    ]


@pytest.mark.parametrize(
    ("items", "options", "line"),
    [
        (range(100), {"unit": " images"}, "checking: 30 of 100 images, 1 images/s, 70 seconds left"),
        (range(100), {}, "checking: 30 of 100, 1 a second, 70 seconds left"),
        (iter(range(100)), {"unit": " images"}, "checking: 30 images, 1 images/s"),
        (iter(range(100)), {"unit": " images", "total": 60}, "checking: 30 of 60 images, 1 images/s, 30 seconds left"),
    ],
)
def test_a_line_of_what_is_iterated(clock, capsys, items, options, line):
    bar = progress(items, "checking", **options)
    assert [clock.__dict__.update(now=clock.now + 1) or item for item in bar] == list(range(100))
    assert capsys.readouterr().err.splitlines()[0] == line


def test_slow_work_is_told_while_nothing_is_finished(clock, capsys):
    with counter("runs", 40, " runs") as bar:
        for _ in range(65):
            clock.now += 1
            bar.refresh()
        bar.update()
        clock.now += 30
        bar.refresh()
    assert capsys.readouterr().err.splitlines() == [
        "runs: 0 of 40 runs",
        "runs: 0 of 40 runs",
        "runs: 1 of 40 runs, 0.011 runs/s, 1.0 hours left",
    ]


def test_what_is_short_or_in_a_worker_says_nothing(clock, capsys, monkeypatch):
    list(progress(clock.passing(range(29), 1), "short"))
    monkeypatch.setattr(module, "_bars", False)
    list(progress(clock.passing(range(100), 1), "worker"))
    with counter("worker", 100, " images") as bar:
        for _ in range(100):
            clock.now += 1
            bar.set_postfix_str("loss 1", refresh=False)
            bar.update()
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(module, "_bars", True)
    with counter("training", 8, " images") as bar:
        bar.set_postfix_str("epoch 1 of 2, loss 0.5", refresh=False)
        bar.update(4)
        bar.refresh()
    shown = sys.stderr.getvalue()
    assert "training:  50%|" in shown and "4/8" in shown and " images/s" in shown and "epoch 1 of 2, loss 0.5" in shown
