"""Run folders on the Hugging Face hub: found there, and pushed to it with a model card that the hub can index.

The classifier's `from_pretrained`, `save_pretrained` and `push_to_hub` have the names and arguments of
huggingface_hub's `ModelHubMixin`, and are not it: the mixin writes a config.json of the constructor's arguments, where
a run folder has one of its own, and it would make every import of the classifier import the hub's client.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from cocoop.clip.sources.hub import Access, download_files, full_id, is_hub_id
from cocoop.clip.sources.hub_errors import push_error
from cocoop.clip.sources.load import BUNDLED
from cocoop.data import PAPER_DATASETS
from cocoop.data.hugging_face import HUB_PREFIX
from cocoop.errors import InputError
from cocoop.results import Run, RunRecord, read_run
from cocoop.results.card import model_card
from cocoop.results.pictures import PICTURES, pictures_in
from cocoop.results.run_folder import CARD, OPTIONAL, REQUIRED

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

MAX_RUN = 2**29
"""Bytes of a run that are downloaded: the record of a training on all of ImageNet has a fifth of it."""

_TASK = "image-classification"
_METRICS = {"accuracy": ("accuracy", "accuracy"), "macro_f1": ("f1", "macro-F1")}
"""A figure -> the hub's name of it, and ours."""


def found_run(
    place: str | PathLike[str],
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | PathLike[str] | None = None,
) -> Path:
    """The run folder of this name here; or, if there is none and it is an id of the hub, its files in the cache.

    Of a repository only the files of a run folder are downloaded, none of which is run.

    Args:
        place: a folder, "owner/name" or "owner/name@revision".
        revision: a branch, tag or commit, instead of behind an "@".
        token: of the hub; None is HF_TOKEN or the login, False is none.
        cache_dir: where files are kept; None is the client's cache.

    Raises:
        InputError: no such repository or revision, no run in it, or a larger one than `MAX_RUN`.
    """
    name = os.fspath(place)
    if os.path.lexists(name) or not is_hub_id(name):
        return Path(name)
    hub_id = name if revision is None else f"{name.partition('@')[0]}@{revision}"
    access = Access(token, cache_dir)
    try:
        return download_files(hub_id, REQUIRED, (*OPTIONAL, *PICTURES), MAX_RUN, "the run of a learned prompt", access)
    except InputError as error:
        raise InputError(f"{name} is no folder here. {error}") from error


def push_run(
    folder: str | PathLike[str],
    repo_id: str,
    commit_message: str = "Push a learned prompt",
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
    create_pr: bool = False,
) -> str:
    """Push a run folder to a repository of the hub, which is made where missing; gives the commit's address.

    README.md there is the run's card with the metadata that the hub indexes, and how to load it from there.

    Args:
        folder: a run folder.
        repo_id: "owner/name".
        commit_message: of the commit.
        private: whether a new repository is private; None is as the owner has set it.
        token: of the hub; None is HF_TOKEN or the login.
        branch: where to; None is the main one.
        create_pr: propose the commit instead of making it; the address is that of the proposal then.

    Raises:
        InputError: no run folder, no such id or branch, or a token that may not write there.
        RunError: the hub does not answer, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if not is_hub_id(repo_id) or "@" in repo_id:
        raise InputError(f"{repo_id}: expected the id of a repository, owner/name.")
    path, run = Path(folder), read_run(folder)
    there = [name for name in (*REQUIRED, *OPTIONAL, *PICTURES) if (path / name).is_file() and name != CARD]
    files: dict[str, str | bytes] = {name: str(path / name) for name in there}
    files[CARD] = hub_card(run, repo_id, pictures_in(path)).encode()
    try:
        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.create_commit(
            repo_id=repo_id,
            operations=[CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
        )
    except Exception as error:  # the hub, the network, the client: they raise what they please
        raise push_error(repo_id, error) from error
    return commit.pr_url or commit.commit_url


def told_to_others(run: Run) -> list[str]:
    """What a run says of the machine that it was learned on, or needs of it, in sentences for who is to share it."""
    notes = []
    clip = run.config.parameters.clip
    if clip not in BUNDLED and not is_hub_id(full_id(clip)):
        notes.append(f"its CLIP is {clip} of this machine: who loads it has to say where theirs is (--clip)")
    mistakes = sum(len(figures.mistakes) for figures in run.record.results.values())
    if mistakes:
        notes.append(f"record.json names {mistakes:,} pictures by their paths on this machine")
    return notes


def hub_card(run: Run, repo_id: str, pictures: list[str]) -> str:
    """The run's card behind the metadata that the hub indexes."""
    from huggingface_hub import ModelCardData

    record = run.record
    clip, dataset = full_id(run.config.parameters.clip), _dataset(record)
    results = list(_results(record, dataset))
    data = ModelCardData(
        library_name="cocoop",
        pipeline_tag=_TASK,
        base_model=clip if is_hub_id(clip) else None,
        tags=["clip", "prompt-learning", record.method],
        datasets=[dataset] if dataset else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=repo_id if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{model_card(run.config, record, pictures, repo_id)}"


def _dataset(record: RunRecord) -> str | None:
    """A data set's id, if others know it: one of the papers', or of the hub."""
    name = record.dataset or ""
    if name.startswith(HUB_PREFIX):
        return name.removeprefix(HUB_PREFIX).partition(":")[0]
    return name if name in PAPER_DATASETS else None


def _results(record: RunRecord, dataset: str | None) -> Iterator[EvalResult]:
    """The measured figures, 0..1."""
    from huggingface_hub import EvalResult

    for test, figures in record.results.items():
        for figure, (metric, words) in _METRICS.items():
            yield EvalResult(
                task_type=_TASK,
                dataset_type=dataset or "own-images",
                dataset_name=f"{dataset or 'own images'}, {test}",
                metric_type=metric,
                metric_name=words,
                metric_value=getattr(figures, figure) / 100,
            )
