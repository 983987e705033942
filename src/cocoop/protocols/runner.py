"""`Runner`: carries out trials on one CLIP. Data sets are read, and test images encoded, once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from cocoop.classifier import Classifier
from cocoop.clip import CLIP
from cocoop.data import HALVES, Classes, Dataset, fingerprint, labelled
from cocoop.errors import InputError
from cocoop.evaluation import (
    Scored,
    base_scores,
    distance_scales,
    fit_held_out,
    measure_reliability,
    measure_together,
    predict_probabilities,
    score,
)
from cocoop.features import Features, FeatureStore, encode_pictures
from cocoop.methods import BASELINE, METHODS, Method
from cocoop.protocols.learned import learned_by
from cocoop.protocols.plan import PROTOCOLS, Trial
from cocoop.protocols.selection import HeldOutImages, Selection
from cocoop.results import (
    Figures,
    Reliability,
    Together,
    check_new,
    keeping,
    peak_memory_mb,
    read_config,
    read_record,
    remove_state,
    reset_peak_memory,
    state_file,
    write_run,
)
from cocoop.results.card import model_card


class Peaks(NamedTuple):
    """The most memory, in MB of 10^6 bytes: of the process, None where the system does not tell; on its GPU, if any."""

    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None


class Runner:
    """Carries out trials.

    Args:
        clip: the frozen CLIP of all of them.
        datasets: the data sets that the trials name.
        out: the folder that their run folders go to.
        feature_cache: the folder of the image features, which all trials share; None is "features" in `out`.
    """

    def __init__(
        self, clip: CLIP, datasets: Mapping[str, Dataset], out: Path, feature_cache: Path | None = None
    ) -> None:
        self.clip = clip
        self.out = out
        self.store = FeatureStore(feature_cache or out / "features", clip)
        self.data = Selection(datasets)
        self._test_features = cache(self._encode_test)

    def run(self, trial: Trial) -> Path:
        """Learn, score, and write the run folder, all at once at the end. Returns the folder.

        A training that was stopped goes on from the state that it kept last.

        A prompt that another protocol learned in the same way, below the same `out`, is taken from there: the record's
        "prompt_from" says from where, and its seconds and memory are those of the training.

        Raises:
            InputError: an image that does not decode, a test without images, a setting that cannot work, or the folder
                is taken.
            RunError: the training diverged, or the disk refuses.
        """
        folder = self.out / trial.folder
        # All that can be wrong with folder and data is found before hours of training.
        check_new(folder)
        self.reset_peaks()
        learned_from = self.data.training_set(trial)
        for test in trial.tests:  # a test image that is damaged is found here
            self._test_features(test.dataset, test.classes)
        held_out = self.data.held_out(trial) if trial.fits_held_out else None
        earlier = self.learned_before(trial, learned_from)
        if earlier:
            return self._write(trial, Classifier.load(earlier, self.clip), held_out, earlier)
        classifier = self.classifier(trial, learned_from)
        with keeping(folder, learned_by(classifier)):
            images, labels = labelled(learned_from.train)
            validation = labelled(held_out.examples) if held_out and trial.searches else None
            given: dict[str, Any] = {"validation": validation, "checkpoint": state_file(folder)}
            classifier.fit(images, labels, learned_from.class_names, **given)
            return self._write(trial, classifier, held_out)

    def _write(
        self, trial: Trial, classifier: Classifier, held_out: HeldOutImages | None, earlier: Path | None = None
    ) -> Path:
        """Score a fitted classifier and write the run folder; `earlier` is the run that its prompt was taken from."""
        run, data = classifier.as_run(), self.data.of(trial)
        results: dict[str, Figures] = {}
        tests: dict[str, Scored] = {}
        for test in trial.tests:
            scored = data.part(test.dataset, test.classes)
            model = self.fitted_to(classifier.model_, scored)
            scores = score(model, self._test_features(test.dataset, test.classes), scored.test)
            test_hash = self.data.test_hash(test.dataset, test.classes)
            results[test.name] = replace(scores.figures, dataset=test.dataset, test_hash=test_hash, exif=scored.exif)
            run.predictions.update({f"{test.name}/{name}": values for name, values in scores.predictions.items()})
            tests[test.name] = scores.scored
        together, reliability = None, None
        if trial.scores_together:
            tests["together"], together = self._together(trial, classifier.model_, run.predictions)
        if trial.classes == "base":
            reliability, calibrated = self._reliability(trial, classifier.model_, tests, held_out)
            run.predictions.update(calibrated)
        costs = read_record(earlier) if earlier else self.peaks()
        record = replace(
            run.record,
            protocol=trial.protocol,
            dataset=trial.dataset,
            shots=trial.shots,
            results=results,
            together=together,
            reliability=reliability,
            split_hash=self.data.training_hash(trial),
            trial=trial,
            peak_memory_mb=costs.peak_memory_mb,
            peak_gpu_memory_mb=costs.peak_gpu_memory_mb,
            prompt_from=earlier.relative_to(self.out).as_posix() if earlier else None,
        )
        folder = write_run(self.out / trial.folder, run._replace(record=record), model_card(run.config, record))
        remove_state(state_file(folder))
        return folder

    def _together(self, trial: Trial, learned: Method, predictions: dict[str, NDArray[Any]]) -> tuple[Scored, Together]:
        """Score the images of both halves into all classes, and put what figures follow from into the predictions."""
        base, new = (self.data.part(trial.dataset, half) for half in HALVES)
        base_classes = len(base.class_names)
        model = self.fitted_to(learned, self.data.part(trial.dataset, "all"))
        features = [self._test_features(trial.dataset, half) for half in HALVES]
        probabilities = np.concatenate([predict_probabilities(model, some).numpy() for some in features])
        numbers = [example.label for example in base.test] + [base_classes + example.label for example in new.test]
        labels = np.array(numbers, dtype=np.int32)
        predictions |= {
            "together/label": labels,
            "together/predicted": probabilities.argmax(axis=1).astype(np.int32),
            "together/confidence": probabilities.max(axis=1).astype(np.float32),
            "together/base_score": base_scores(probabilities, base_classes).astype(np.float32),
        }
        return Scored(probabilities, labels, model.class_names), measure_together(probabilities, labels, base_classes)

    def _reliability(
        self, trial: Trial, learned: Method, tests: Mapping[str, Scored], held_out: HeldOutImages | None
    ) -> tuple[Reliability, dict[str, NDArray[Any]]]:
        """How well probabilities fit on all tests; what is fitted for that is fitted on base images `held_out`."""
        if held_out is None:
            return measure_reliability(tests)
        base = self.data.part(trial.dataset, "base")
        images, labels = labelled(held_out.examples)
        features = encode_pictures(self.clip, images, self.store, base.exif)
        probabilities = predict_probabilities(self.fitted_to(learned, base), features).numpy()
        scored = Scored(probabilities, np.array(labels, dtype=np.int32), base.class_names)
        fit = fit_held_out(scored, held_out.part, trial.calibration is not None, trial.coverage)
        distances = trial.calibration == "dac" and "new" in tests
        scales = self._scales(trial, learned, features) if distances else None
        return measure_reliability(tests, fit, scales)

    @torch.no_grad()
    def _scales(self, trial: Trial, learned: Method, features: Features) -> dict[str, Tensor]:
        """Of each test the `distance_scales` of its classes, by the prompts of the mean of held-out images."""
        both = self.data.part(trial.dataset, "all")
        base_classes = len(self.data.part(trial.dataset, "base").class_names)
        mean = normalize(features[:].mean(dim=0, keepdim=True), dim=-1)
        tuned = self.fitted_to(learned, both).text_features(mean)
        by_hand = BASELINE(self.clip, both.class_names, **BASELINE.template_settings(both.template)).text_features(mean)
        if tuned is None or by_hand is None:  # no text features are learned, and so none has moved
            gamma = torch.ones(len(both.class_names))
        else:
            gamma = distance_scales(normalize(tuned[0], dim=-1), by_hand[0], base_classes)
        return {"base": gamma[:base_classes], "new": gamma[base_classes:], "together": gamma}

    def learned_before(self, trial: Trial, learned_from: Dataset) -> Path | None:
        """The finished run of another protocol that learned the same from the same images, if there is one."""
        here = (
            trial.training,
            self.data.training_hash(trial),
            (self.clip.fingerprint, self.clip.tokenizer_source, self.dtype),
        )
        for protocol in PROTOCOLS if trial.shots else ():
            folder = self.out / replace(trial, protocol=protocol).folder
            if protocol == trial.protocol or not (folder / "record.json").is_file():
                continue
            record = read_record(folder)
            training = Trial(**vars(record.trial)).training if record.trial else None
            there = (training, record.split_hash, (record.clip_fingerprint, record.tokenizer, record.dtype))
            if here != there or read_config(folder).class_names != learned_from.class_names:
                continue
            # By their bytes, which takes reading them: the data may lie elsewhere by now, or have changed.
            if record.trained_on == [fingerprint(example.path) for example in learned_from.train]:
                return folder
        return None

    def classifier(self, trial: Trial, dataset: Dataset) -> Classifier:
        """The unfitted classifier of a trial on `dataset`, with that data set's own prompt if the method takes one."""
        own = METHODS[trial.method].setting_defaults()
        settings = {name: value for name, value in trial.settings.items() if name in own}
        settings |= METHODS[trial.method].template_settings(dataset.template)
        numbers = {name: value for name, value in trial.settings.items() if name not in own}
        return Classifier(
            trial.method,
            self.clip,
            settings,
            shots=None,
            seed=trial.seed,
            exif=dataset.exif,
            feature_cache=self.store.folder,
            **numbers,
        )

    def fitted_to(self, model: Method, dataset: Dataset) -> Method:
        """The model on the classes of `dataset`; one that takes its template and new classes is built anew."""
        own = model.template_settings(dataset.template)
        if not own or model.bound is not None:
            return model.set_classes(dataset.class_names)
        anew = type(model)(self.clip, dataset.class_names, **model.settings | own)
        anew.load_state_dict(model.state_dict())
        return anew

    @property
    def dtype(self) -> str:
        """The precision of the CLIP, as records name it: "float32"."""
        return self.clip.precision.name

    def reset_peaks(self) -> None:
        """Let `peaks` count from now on."""
        reset_peak_memory()
        if self.clip.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.clip.device)

    def peaks(self) -> Peaks:
        """The most memory since `reset_peaks`."""
        on_gpu = self.clip.device.type == "cuda"
        return Peaks(peak_memory_mb(), torch.cuda.max_memory_allocated(self.clip.device) / 1e6 if on_gpu else None)

    def _encode_test(self, dataset: str, classes: Classes) -> Features:
        part = self.data.part(dataset, classes)
        examples = part.test
        if not examples:
            which = "images" if classes == "all" else f"images of the {classes} classes"
            raise InputError(f"{dataset}: expected test {which}; got none. Add some, or choose another protocol.")
        return encode_pictures(self.clip, [example.path for example in examples], self.store, part.exif)
