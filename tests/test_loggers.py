"""Where else figures are kept, against stand-ins with the calls of the real packages (their versions stand beside).

Each stand-in takes exactly the arguments that the package's own function takes, as far as they are used.
"""

import sys
import warnings
from types import ModuleType, SimpleNamespace

import pytest
from own_photos import labelled

from cocoop import InputError, PromptClassifier
from cocoop.loggers import LOGGERS

IMAGES, LABELS = labelled(4)
HELD_OUT = labelled(6)
EPOCH = {"learning_rate", "loss", "accuracy", "validation_accuracy"}


class Kept(ModuleType):
    """What was told: parameters, (step, figures) of epochs, final figures, and how it ended."""

    def __init__(self, name):
        super().__init__(name)
        self.parameters, self.epochs, self.final, self.ended = None, [], {}, None

    def _log(self, metrics, step):
        if step is None:
            self.final |= metrics
        else:
            self.epochs.append((step, dict(metrics)))


def tensorboardx():
    """tensorboardX 2.6.5."""
    kept = Kept("tensorboardX")

    class SummaryWriter:
        def __init__(self, logdir=None, comment=""):
            pass

        def add_text(self, tag, text_string, global_step=None, walltime=None):
            cells = [row.strip("| ").split(" | ") for row in text_string.splitlines()[2:]]
            kept.parameters = dict(cells)

        def add_scalar(self, tag, scalar_value, global_step=None, walltime=None):
            if tag.startswith("final/"):
                kept.final[tag] = scalar_value
                return
            if not kept.epochs or kept.epochs[-1][0] != global_step:
                kept.epochs.append((global_step, {}))
            kept.epochs[-1][1][tag] = scalar_value

        def close(self):
            kept.ended = "closed"

    kept.SummaryWriter = SummaryWriter
    return kept


def wandb():
    """wandb 0.31.0: `wandb.init(...)` gives a `Run`."""
    kept = Kept("wandb")

    class Run:
        summary = kept.final

        def log(self, data, step=None, commit=None):
            kept._log(data, step)

        def finish(self, exit_code=None):
            kept.ended = {0: "closed", 1: "failed"}[exit_code]

    def init(entity=None, project=None, dir=None, id=None, name=None, notes=None, tags=None, config=None):
        kept.parameters, kept.project = config, project
        print("wandb says hello")
        return Run()

    kept.init = init
    return kept


def mlflow():
    """mlflow 3.18.0, of `mlflow.tracking.fluent`."""
    kept = Kept("mlflow")
    kept.active_run = lambda: None

    def start_run(run_id=None, experiment_id=None, run_name=None, nested=False):
        assert nested is False

    def log_params(params, synchronous=None, run_id=None):
        kept.parameters = params

    def log_metrics(metrics, step=None, synchronous=None):
        kept._log(metrics, step)

    def end_run(status="FINISHED"):
        kept.ended = {"FINISHED": "closed", "FAILED": "failed"}[status]

    kept.__dict__.update(start_run=start_run, log_params=log_params, log_metrics=log_metrics, end_run=end_run)
    return kept


def trackio():
    """trackio 0.43.0."""
    kept = Kept("trackio")

    def init(
        project, name=None, group=None, space_id=None, server_url=None, dataset_id=None, bucket_id=None, config=None
    ):
        kept.parameters = config
        print("* Trackio project initialized: cocoop")
        return SimpleNamespace(log=lambda metrics, step=None: kept._log(metrics, step))

    def finish():
        kept.ended = "closed"

    kept.__dict__.update(init=init, finish=finish)
    return kept


STAND_INS = {"tensorboard": tensorboardx, "wandb": wandb, "mlflow": mlflow, "trackio": trackio}


@pytest.fixture
def installed(monkeypatch):
    """All four, by the names of `report_to`."""
    made = {name: stand_in() for name, stand_in in STAND_INS.items()}
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, LOGGERS[name].module, module)
    return made


def make(clip, method="coop", **parameters):
    return PromptClassifier(method, clip, **{"shots": 2, "epochs": 2, "batch_size": 3, "lr": 0.1} | parameters)


def test_each_is_told_parameters_epochs_and_the_end(tiny, installed, capsys):
    assert installed.keys() == LOGGERS.keys()
    with pytest.warns(UserWarning, match="6 of the 18 validation images are learned from, and are left out"):
        classifier = make(tiny, keep="best").fit(IMAGES, LABELS, validation=HELD_OUT, report_to=[*LOGGERS])
    kept_epoch = classifier.history_[classifier.fit_.kept_epoch]
    for name, told in installed.items():
        expected = {"method": "coop", "seed": 1, "lr": 0.1, "batch_size": 3, "settings.context": "a photo of a"}
        expected |= {"training_images": 6, "validation_images": classifier.fit_.validation_images, "keep": "best"}
        assert {key: str(told.parameters[key]) for key in expected} == {k: str(v) for k, v in expected.items()}, name
        assert [step for step, _ in told.epochs] == [0, 1], name
        for (_, figures), epoch in zip(told.epochs, classifier.history_, strict=True):
            assert figures == {key: getattr(epoch, key) for key in EPOCH}, name
        assert told.final["final/epoch"] == kept_epoch.epoch and told.final["final/loss"] == kept_epoch.loss, name
        assert told.final["final/validation_accuracy"] == kept_epoch.validation_accuracy, name
        assert told.final["final/seconds"] == classifier.seconds_ and told.ended == "closed", name
    out, err = capsys.readouterr()
    assert out == "" and "Trackio project initialized" in err  # results alone go to stdout


def test_without_validation_images_none_of_their_figures(tiny, installed):
    make(tiny).fit(IMAGES, LABELS, report_to="wandb")
    assert [figures.keys() for _, figures in installed["wandb"].epochs] == [EPOCH - {"validation_accuracy"}] * 2
    assert installed["wandb"].project == "cocoop" and installed["mlflow"].parameters is None


@pytest.mark.parametrize("where", ["init", "log", "finish"])
def test_one_that_fails_warns_once_and_ends_nothing(tiny, installed, monkeypatch, where):
    def fail(*args, **kwargs):
        raise ConnectionError("no network\nat all")

    if where == "init":
        monkeypatch.setattr(installed["wandb"], "init", fail)
    else:
        monkeypatch.setattr(type(installed["wandb"].init()), where, fail)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier = make(tiny).fit(IMAGES, LABELS, report_to=["wandb", "mlflow"])
    assert [str(warning.message) for warning in caught] == [
        "cocoop: wandb is told no more, because it failed (ConnectionError: no network)"
    ]
    assert len(classifier.history_) == 2 and len(installed["mlflow"].epochs) == 2


def test_a_fit_that_fails_is_told_as_failed(tiny, installed):
    class Stops:
        def on_epoch_end(self, epoch):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make(tiny).fit(IMAGES, LABELS, callbacks=[Stops()], report_to=["wandb", "mlflow"])
    assert installed["wandb"].ended == installed["mlflow"].ended == "failed"


def test_what_cannot_be_is_said_before_any_work(tiny, monkeypatch):
    monkeypatch.setattr("cocoop.fitting.fit", lambda *args: pytest.fail("it fitted"))
    with pytest.raises(InputError, match=r"report_to: expected one of tensorboard, wandb, .*; got 'wand'\. Did you"):
        make(tiny).fit(IMAGES, LABELS, report_to="wand")
    for name, logger in LOGGERS.items():
        monkeypatch.setitem(sys.modules, logger.module, None)  # as if it was not installed
        with pytest.raises(InputError, match=rf"package {logger.module} .*pip install 'cocoop\[{logger.extra}\]'"):
            make(tiny).fit(IMAGES, LABELS, report_to=name)


def test_event_files_of_tensorboard(tiny, tmp_path, monkeypatch):
    """The real package, where it is installed: its file, read with protobuf's own classes."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    monkeypatch.chdir(tmp_path)
    classifier = make(tiny).fit(IMAGES, LABELS, report_to="tensorboard")
    (file,) = (tmp_path / "runs").rglob("events.out.tfevents.*")
    content, events = file.read_bytes(), []
    while content:  # length (8 bytes), its checksum (4), an event, its checksum (4)
        length = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    scalars = [(v.tag, e.step, v.simple_value) for e in events for v in e.summary.value if v.HasField("simple_value")]
    losses = [(step, value) for tag, step, value in scalars if tag == "loss"]
    assert losses == [(e.epoch, pytest.approx(e.loss, rel=1e-6)) for e in classifier.history_]
    assert any(v.tag.startswith("parameters") for e in events for v in e.summary.value)
