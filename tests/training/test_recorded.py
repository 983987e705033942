"""Recording and replay, with a stand-in for the CUDA graph: it computes anew into the same tensor, as a graph does."""

import golden_clip
import pytest
import torch
from golden_clip import FACTS, VALUES

from cocoop import CLIP, CoCoOp, CoOp, InputError, RunError
from cocoop.features import FixedFeatures
from cocoop.training import RecordedStep, Step, train
from cocoop.training.recorded import recorded
from cocoop.training.step import read

NAMES = FACTS["class_names"]
FEATURES = VALUES["image_features"]
LABELS = torch.tensor(FACTS["labels"])


def make(clip: CLIP, method=CoCoOp):
    torch.manual_seed(0)
    return method(clip, NAMES)


class StandIn:
    """Counts recordings and replays."""

    def __init__(self):
        self.recordings = self.replays = 0

    def __call__(self, run, device):
        assert device.type == "cpu"
        self.recordings += 1
        for _ in range(3):
            run()
        facts = torch.full_like(run(), torch.nan)  # recording computes nothing

        def replay():
            self.replays += 1
            facts.copy_(run())

        return facts, replay


def cannot(run, device):
    run()
    raise RuntimeError("operation not permitted when stream is capturing\nsecond line")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("method", [CoCoOp, CoOp])
def test_replays_learn_what_the_eager_loop_learns(method, dtype, monkeypatch):
    """Bit for bit, over rates that change; the rehearsal before a recording leaves no trace."""
    clip = golden_clip.load(dtype=dtype)
    arguments = {"epochs": 3, "batch_size": 2, "seed": 1}
    eager, replayed = make(clip, method), make(clip, method)
    history = train(eager, FixedFeatures(FEATURES), FACTS["labels"], **arguments)
    stand_in = StandIn()
    monkeypatch.setattr(
        "cocoop.training.loop.recorded", lambda step, cuda_graph: RecordedStep(step, stand_in, required=True)
    )
    monkeypatch.setattr("cocoop.training.loop._steps_at_once", lambda device: 2)
    again = train(replayed, FixedFeatures(FEATURES), FACTS["labels"], **arguments)
    assert (stand_in.recordings, stand_in.replays) == (1, 9)
    assert [(e.loss, e.accuracy) for e in history] == [(e.loss, e.accuracy) for e in again]
    for name, tensor in eager.state_dict().items():
        assert torch.equal(tensor, replayed.state_dict()[name]), name


def test_batches_of_another_shape_run_unrecorded(golden):
    recorded, eager = make(golden), make(golden)
    stand_in = StandIn()
    runs = RecordedStep(Step(recorded), stand_in, required=True), Step(eager)
    batches = [[0, 1], [2], [3, 4]]
    ours, theirs = ([run(FEATURES[batch], LABELS[batch]) for batch in batches] for run in runs)
    assert read(ours) == read(theirs)  # read late: no replay wrote over an earlier one's facts
    assert stand_in.replays == 2
    assert torch.equal(recorded.ctx, eager.ctx)


def test_a_recording_that_fails_is_said_and_the_step_runs_unrecorded(golden):
    model, eager = make(golden), make(golden)
    run, plain = RecordedStep(Step(model), cannot, required=False), Step(eager)
    with pytest.warns(UserWarning, match=r"unrecorded, and slower \(RuntimeError: operation not permitted[^\n]*\)$"):
        run(FEATURES, LABELS)
    plain(FEATURES, LABELS)
    assert read([run(FEATURES, LABELS)]) == read([plain(FEATURES, LABELS)])
    assert torch.equal(model.ctx, eager.ctx)


def test_a_recording_that_fails_where_it_was_asked_for(golden):
    model = make(golden)
    with pytest.raises(RunError, match=r"cuda_graph: expected.*not permitted.*Set cuda_graph to off"):
        RecordedStep(Step(model), cannot, required=True)(FEATURES, LABELS)
    assert torch.equal(model.ctx, make(golden).ctx)


def test_choices_on_a_cpu(golden):
    step = Step(make(golden))
    assert recorded(step, "auto") is step
    assert recorded(step, "off") is step
    with pytest.raises(InputError, match="got 'on', which needs an NVIDIA GPU"):
        recorded(step, "on")
    with pytest.raises(InputError, match=r"expected one of auto, on, off; got 'of'\. Did you mean off"):
        recorded(step, "of")
