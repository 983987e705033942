"""Where else the figures of a fit are kept: TensorBoard, Weights & Biases, MLflow, Trackio; each behind its extra."""

from __future__ import annotations

import os
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import Any, ClassVar

from cocoop.callbacks import Callback
from cocoop.errors import InputError, expect_choice, reason
from cocoop.results import Epoch

_PROJECT = "cocoop"


class Logger(ABC):
    """A run of one of them, which begins with the parameters."""

    module: ClassVar[str]
    extra: ClassVar[str]

    @abstractmethod
    def __init__(self, module: Any, parameters: Mapping[str, Any]) -> None:
        """Begin a run, with the package's `module`."""

    @abstractmethod
    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        """Keep the figures of an epoch."""

    @abstractmethod
    def log_final(self, figures: Mapping[str, float]) -> None:
        """Keep figures of the whole run."""

    @abstractmethod
    def close(self, failed: bool) -> None:
        """End the run."""


class _TensorBoard(Logger):
    """Event files in a new folder of `runs`, as torch's SummaryWriter names them; tensorboardX writes them."""

    module, extra = "tensorboardX", "loggers"

    def __init__(self, module: Any, parameters: Mapping[str, Any]) -> None:
        self._writer = module.SummaryWriter()
        rows = "\n".join(f"| {name} | {value} |" for name, value in parameters.items())
        self._writer.add_text("parameters", f"| name | value |\n|---|---|\n{rows}")

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, epoch)

    def log_final(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(f"final/{name}", value, 0)

    def close(self, failed: bool) -> None:
        self._writer.close()


class _WandB(Logger):
    module = extra = "wandb"

    def __init__(self, module: Any, parameters: Mapping[str, Any]) -> None:
        self._run = module.init(project=os.environ.get("WANDB_PROJECT", _PROJECT), config=dict(parameters))

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        self._run.log(dict(figures), step=epoch)

    def log_final(self, figures: Mapping[str, float]) -> None:
        self._run.summary.update({f"final/{name}": value for name, value in figures.items()})

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class _MLflow(Logger):
    module = extra = "mlflow"

    def __init__(self, module: Any, parameters: Mapping[str, Any]) -> None:
        self._mlflow = module
        module.start_run(nested=module.active_run() is not None)
        module.log_params(dict(parameters))

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        self._mlflow.log_metrics(dict(figures), step=epoch)

    def log_final(self, figures: Mapping[str, float]) -> None:
        self._mlflow.log_metrics({f"final/{name}": value for name, value in figures.items()})

    def close(self, failed: bool) -> None:
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


class _Trackio(Logger):
    module = extra = "trackio"

    def __init__(self, module: Any, parameters: Mapping[str, Any]) -> None:
        self._run = module.init(project=_PROJECT, config=dict(parameters))
        self._finish = module.finish

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        self._run.log(dict(figures), step=epoch)

    def log_final(self, figures: Mapping[str, float]) -> None:
        self._run.log({f"final/{name}": value for name, value in figures.items()})

    def close(self, failed: bool) -> None:
        self._finish()


LOGGERS: dict[str, type[Logger]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WandB,
    "mlflow": _MLflow,
    "trackio": _Trackio,
}
"""What `report_to` may name."""


class Report(Callback):
    """Tells one logger. If that fails, it warns, once, and tells it no more: no training of hours ends for it.

    `InputError` if its package is not installed; names the extra.
    """

    def __init__(self, name: str) -> None:
        self._name, self._kind = name, LOGGERS[name]
        try:
            self._module = import_module(self._kind.module)
        except ImportError as error:
            raise InputError(
                f"report_to: expected the package {self._kind.module} for {name}; got {reason(error)}. Install it: "
                f"pip install 'cocoop[{self._kind.extra}]'."
            ) from error
        self._logger: Logger | None = None

    def on_fit_begin(self, facts: Mapping[str, Any]) -> None:
        """Begin a run with these parameters."""
        with self._unharmed():
            self._logger = self._kind(self._module, facts)

    def on_epoch_end(self, epoch: Epoch) -> None:
        """Tell its figures."""
        names = ("learning_rate", "loss", "accuracy", "validation_accuracy")
        figures = {name: value for name in names if (value := getattr(epoch, name)) is not None}
        self._tell(lambda logger: logger.log(figures, epoch.epoch))

    def on_fit_end(self, figures: Mapping[str, float]) -> None:
        """Tell figures of the whole run."""
        self._tell(lambda logger: logger.log_final(figures))

    def close(self, failed: bool) -> None:
        """End its run."""
        self._tell(lambda logger: logger.close(failed))
        self._logger = None

    def _tell(self, what: Callable[[Logger], None]) -> None:
        with self._unharmed():
            if self._logger is not None:
                what(self._logger)

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        try:
            with redirect_stdout(sys.stderr):  # results alone go to stdout
                yield
        except Exception as error:
            self._logger = None
            warnings.warn(f"cocoop: {self._name} is told no more, because it failed ({reason(error)})", stacklevel=2)


@contextmanager
def reporting(report_to: str | Sequence[str] | None) -> Iterator[list[Report]]:
    """Callbacks that tell the loggers with these names (`LOGGERS`), whose runs end with the context.

    Raises:
        InputError: another name, or a package that is not installed.
    """
    names = [report_to] if isinstance(report_to, str) else list(report_to or ())
    for name in names:
        expect_choice("report_to", name, LOGGERS)
    reports = [Report(name) for name in dict.fromkeys(names)]
    failed = True
    try:
        yield reports
        failed = False
    finally:
        for report in reports:
            report.close(failed)
