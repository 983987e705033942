"""`Classifier`: what is fitted to labelled images and classifies others.

The commands use it. Python's users have `PromptClassifier`, its subclass in estimator.py, which is a scikit-learn
estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from inspect import Parameter, signature
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from cocoop import fitting
from cocoop.arguments import Pictures
from cocoop.callbacks import listed_callbacks
from cocoop.clip import CLIP
from cocoop.errors import InputError, expect_choice
from cocoop.evaluation import Metrics
from cocoop.fitted import FittedClassifier
from cocoop.fitting import OF_THE_CLIP, OF_THE_MACHINE, load_clip, places_of
from cocoop.loggers import reporting
from cocoop.old_names import OLD_NAMES, RENAMED, from_old_names
from cocoop.ranks import place
from cocoop.results import Figures, Run, check_new, keeping, run_pictures, write_run
from cocoop.results.card import model_card
from cocoop.rgb import Exif
from cocoop.saved import lies_elsewhere, read_saved
from cocoop.saved import to_run as fit_to_run
from cocoop.sharing import found_run, push_run
from cocoop.training import EVERY


class Classifier(FittedClassifier):
    """Learn prompts from a few labelled images; classify images, into other classes too.

    Args:
        method: a name in `METHODS`: "cocoop", "coop", "zero-shot", or what was registered there.
        clip: what `CLIP.load` takes, or a loaded `CLIP`.
        settings: the method's own, by the names of its constructor's keywords, such as {"context_length": 4, "context":
            None} for random vectors; see `CoCoOp`, `CoOp` and `ZeroShot`. None is all of its defaults.
        shots: training images per class, the original's pick for this seed; None takes all.
        seed: decides the pick, the random start, the order and the views. Any integer, 0 too.
        epochs: passes over the images; None takes the method's: 10 for CoCoOp, 200 for CoOp. The first is a warm-up, so
            that 1 teaches little, and warns.
        batch_size: images per step; None takes the method's: 1 for CoCoOp, 32 for CoOp.
        lr: learning rate at the top of the schedule; None takes the method's, 0.002 in the papers.
        augment: train on random crops and flips, a fresh view per epoch; False encodes every image once; "auto" does
            what the CLIP's files say (`CLIP.augment`), which is True where they say nothing.
        views: how many such views to take in turn; None takes as many as its paper, for most one per epoch.
        view_seed: decides the views instead of `seed`, so that runs of several seeds can share them.
        feature_cache: a folder where image features are kept and looked for; see `FeatureStore`.
        tokenizer, device, dtype, memory_budget: as in `CLIP.load`; left out where `clip` is a loaded one, which has its
            own.
        cuda_graph: as in `training.train`: whether a GPU records the training step; "auto", "on" or "off".
        keep: "last" keeps the tensors of the last epoch, as the papers do; "best" those of the epoch with the best
            accuracy on the validation images, which `fit` is given then; of equal ones the earliest.
        patience: how many epochs in a row without a better such accuracy end the training; None never ends it.
        class_weight: "balanced" lets all classes count alike in the loss, however many images each has, as
            scikit-learn's does: n / (K count_k) for each image of class k. None lets all images count alike.
        search: whether the method chooses settings of its own, `TipAdapter` its alpha and beta, by the accuracy on the
            validation images, which `fit` is given then.
        exif: how pictures become RGB, in `fit` and whenever the classifier sees some: "apply" turns photos upright, as
            their EXIF data say, "ignore" leaves them as they are stored, "original" is for the papers' data; see
            `cocoop.rgb.as_rgb`. It may be set on a fitted classifier.
        old_names: `features` and `compile`, which are called `feature_cache` and `cuda_graph` now, and context,
            context_length, class_specific, class_position and templates, which belong to `settings`. They work until
            the next release, with a warning.

    Attributes after `fit`:
        classes_: [K] the labels, in the order of the probabilities' columns.
        model_: the fitted `Method`. clip_: its `CLIP`.
        fit_: the `Fit`: what was learned from what, and with which parameters, as they were then.
        history_, picked_, seconds_, calibration_: the same as in `fit_`.
    """

    def __init__(
        self,
        method: str = "cocoop",
        clip: Any = "tiny",
        settings: Mapping[str, Any] | None = None,
        shots: int | None = 16,
        seed: int = 1,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        augment: bool | str = "auto",
        views: int | None = None,
        view_seed: int | None = None,
        feature_cache: str | PathLike[str] | None = None,
        tokenizer: Any = None,
        device: str = "auto",
        dtype: str = "auto",
        memory_budget: str | int = "auto",
        cuda_graph: str = "auto",
        exif: Exif = "apply",
        keep: str = "last",
        patience: int | None = None,
        class_weight: str | None = None,
        search: bool = False,
        **old_names: Any,
    ) -> None:
        # scikit-learn's rule: store the arguments under their names, untouched; `fit` checks them.
        self.method = method
        self.clip = clip
        self.settings = settings
        self.shots = shots
        self.seed = seed
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.augment = augment
        self.views = views
        self.view_seed = view_seed
        self.feature_cache = feature_cache
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = dtype
        self.memory_budget = memory_budget
        self.cuda_graph = cuda_graph
        self.exif: Exif = exif
        self.keep = keep
        self.patience = patience
        self.class_weight = class_weight
        self.search = search
        for name in old_names:
            if name not in OLD_NAMES:
                raise TypeError(f"{type(self).__name__} takes no {name!r}; it takes {', '.join(self._parameters())}")
        for name, value in from_old_names(old_names, self._parameters(), settings).items():
            setattr(self, name, value)

    def _parameters(self) -> dict[str, Any]:
        """The arguments of `Classifier` itself by name."""
        taken = signature(Classifier).parameters.values()
        return {p.name: getattr(self, p.name) for p in taken if p.kind != Parameter.VAR_KEYWORD}

    def fit(
        self,
        images: Pictures,
        labels: Sequence[Any],
        class_names: Sequence[str] | None = None,
        before_training: Callable[[fitting.BeforeTraining], object] | None = None,
        *,
        validation: tuple[Pictures, Sequence[Any]] | None = None,
        callbacks: Sequence[Any] = (),
        report_to: str | Sequence[str] | None = None,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_every: int | str = EVERY,
    ) -> Self:
        """Pick `shots` images per class and learn from them. A method that learns nothing (zero-shot) picks none.

        Args:
            images: [N] image files, Pillow images or arrays [H, W, 3] of uint8.
            labels: [N] class names; anything whose `str` is the name will do, all of one kind.
            class_names: [K] if given, `labels` are numbers into this list, and the classes keep its order; two of its
                names may be equal, as in ImageNet's.
            before_training: called when all is checked and nothing is learned yet, to look at other images before hours
                of training. What it raises ends the fit; its time is not part of `seconds_`.
            validation: held-out (images, labels), as the other two, whose accuracy each `Epoch` then has; never
                cropped or flipped. Copies of what is learned from are left out. What is learned is the same to the bit
                as without, unless `keep` or `patience` say otherwise.
            callbacks: are told of every epoch, see `Callback`. What they raise ends the fit.
            report_to: loggers that are told the parameters and figures: "tensorboard", "wandb", "mlflow", "trackio", or
                a list of them. One that fails is told no more, with a warning.
            checkpoint: a file to keep the training's state in after every epoch; None keeps none. If it is there, the
                training goes on from it: with the bits of one that nobody stopped, on one machine's CPU. Callbacks and
                loggers are told of the epochs that were not done yet. It stays when the fit is done, which the
                same fit then has at once; remove it when what was learned is saved.
            checkpoint_every: how often it is kept inside an epoch, too: a number of steps, or of minutes as "10min".

        Raises:
            InputError: lengths that differ, fewer than two classes, a label that is missing, an image that does not
                decode, a parameter that cannot work, a logger that is not installed, or a `checkpoint` that is
                damaged or of another training.
            DivergedError: a loss or gradient is not finite; the error keeps the last good tensors.
            TrainingInterrupted: Ctrl-C, a `KeyboardInterrupt` that keeps them, too.
        """
        with reporting(report_to) as reports:
            told = [*listed_callbacks(callbacks), *reports]
            given = (images, labels, class_names, before_training, validation, told, checkpoint, checkpoint_every)
            fitted = fitting.fit(self._parameters(), *given)
        # All at once and last, so that a fit that fails leaves an earlier one whole.
        self.model_, self.classes_, self.fit_ = fitted
        self.clip_ = self.model_.clip
        return self

    def as_run(self) -> Run:
        """All that a run folder holds, in memory; its record has no "results" yet. `NotFittedError` if not fitted."""
        return fit_to_run(self._fitted(), self.model_, self.classes_.tolist())

    def save(self, folder: str | PathLike[str], test: Metrics | None = None) -> Path:
        """Write a run folder, which must be new. Under torchrun rank 0 alone does.

        Args:
            folder: where.
            test: figures to keep in the record and on its card, as `evaluate` gives them.

        Raises:
            InputError: not fitted, or the folder is taken. RunError: the disk refuses.
        """
        if place().rank:
            return Path(folder)
        check_new(folder)
        run = self.as_run()
        record = replace(run.record, results={"test": Figures(**test.as_dict(), exif=self.exif)} if test else {})
        with keeping(folder, lambda _: run.tensors):
            run = run._replace(record=record)
            pictures = run_pictures(run)
            return write_run(folder, run, model_card(run.config, record, pictures), pictures)

    def save_pretrained(
        self, save_directory: str | PathLike[str], *, repo_id: str | None = None, push_to_hub: bool = False, **push: Any
    ) -> str | None:
        """`save` under the name that the hub's libraries have for it.

        Args:
            save_directory: the folder, which must be new.
            repo_id: where to push it, "owner/name"; needed with `push_to_hub`.
            push_to_hub: whether to push it, too.
            push: further arguments of `push_to_hub`.

        Returns:
            The address of the commit if it was pushed, else None.

        Raises:
            InputError, RunError: as `save` and `push_to_hub`.
        """
        if (push_to_hub and repo_id is None) or (push and not push_to_hub):
            raise InputError("save_pretrained: expected a repo_id, owner/name, and push_to_hub=True to push; got one.")
        folder = self.save(save_directory)
        return push_run(folder, str(repo_id), **push) if push_to_hub else None

    def push_to_hub(self, repo_id: str, **push: Any) -> str:
        """Push it to a repository of the hub as a run folder; the address of the commit.

        Args:
            repo_id: "owner/name"; made where missing.
            push: commit_message, private, token, branch, create_pr, as `ModelHubMixin.push_to_hub` of huggingface_hub
                has them; see `cocoop.sharing.push_run`.

        Raises:
            InputError, RunError: as `save` and `push_run`.
        """
        with TemporaryDirectory() as made:
            return push_run(self.save(Path(made) / "run"), repo_id, **push)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | PathLike[str] | None = None,
        **load: Any,
    ) -> Self:
        """`load` a run folder, or one of the hub.

        Args:
            pretrained_model_name_or_path: a folder, which goes first, "owner/name" or "owner/name@revision".
            revision: a branch, tag or commit, instead of behind an "@".
            token: of the hub; None is HF_TOKEN or the login, False is none.
            cache_dir: where files are kept; None is the client's cache.
            load: clip, tokenizer, device and what else `load` takes.

        Raises:
            InputError: as `load`, or no such repository or revision, or no run in it.
        """
        return cls.load(found_run(pretrained_model_name_or_path, revision, token, cache_dir), **load)

    @classmethod
    def load(cls, folder: str | PathLike[str], clip: Any = None, tokenizer: Any = None, **machine: Any) -> Self:
        """Read a run folder back.

        Args:
            folder: what `save` or `cocoop train` wrote.
            clip: the CLIP to stand on, if the one it was trained on lies elsewhere now.
            tokenizer: the same for the tokenizer that it was trained with.
            machine: device, dtype, memory_budget, feature_cache or cuda_graph, as the class takes them.

        Raises:
            InputError: not a run folder, a damaged one, another CLIP or tokenizer than it was trained with, a method
                that is not registered, or another name in `machine`.
        """
        machine |= from_old_names({name: machine.pop(name) for name in RENAMED if name in machine}, machine)
        for name in machine:
            expect_choice("load", name, OF_THE_MACHINE)
        saved = read_saved(folder)
        given = {name: value for name, value in (("clip", clip), ("tokenizer", tokenizer)) if value is not None}
        kept = asdict(saved.fit.parameters) | ({"tokenizer": None} if isinstance(clip, CLIP) else {})  # it has its own
        self = cls(**kept | machine | given)
        try:
            self.clip_ = load_clip(self.clip, **{name: getattr(self, name) for name in OF_THE_CLIP})
        except InputError as error:
            named = {"clip": self.clip, "tokenizer": self.tokenizer}
            places = {name: place for name, place in named.items() if place is not None and name not in given}
            if not places or str(error).partition(":")[0] in OF_THE_MACHINE:  # no place is at fault
                raise
            raise lies_elsewhere(error, folder, places) from error
        self.model_, self.classes_ = saved.model(self.clip_, folder), saved.classes
        self.fit_ = replace(saved.fit, parameters=replace(saved.fit.parameters, **places_of(self.clip_)))
        return self
