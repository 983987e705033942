"""What huggingface_hub raises -> one line that says what to do."""

from __future__ import annotations

import errno

from cocoop.errors import CocoopError, InputError, RunError, reason


def hub_error(hub_id: str, error: Exception, missing: str) -> CocoopError:
    """The error to raise for `hub_id`, because the hub or its client raised `error`.

    Args:
        hub_id: "owner/name" or "owner/name@revision".
        error: what was raised, of whatever kind.
        missing: what is therefore not to be had and not in the cache, such as "copy" or the name of a file.
    """
    from huggingface_hub import constants, errors

    repo, _, revision = hub_id.partition("@")
    page = f"{constants.ENDPOINT}/{repo}"
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        return InputError(
            f"{hub_id}: expected a model that you may download; it is gated. Accept its terms on {page}, then {log_in}."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(
            f"{hub_id}: expected a model of {constants.ENDPOINT}; it has none of that name, or a private one. Check "
            f"the name; for a private model {log_in}."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(
            f"{hub_id}: expected a branch, tag or commit of {repo}; it has no {revision!r}. See {page}/tree/main."
        )
    if _status(error) == 401:
        return InputError(
            f"{hub_id}: expected a token that {constants.ENDPOINT} accepts; it refused yours. Make a new one and "
            f"{log_in}, or unset HF_TOKEN."
        )
    return _of_the_disk(hub_id, error) or _of_the_network(hub_id, error, missing)


def push_error(repo: str, error: Exception) -> CocoopError:
    """The error to raise because the hub or its client raised `error` when something was to be written to `repo`."""
    from huggingface_hub import constants, errors

    status = _status(error)
    if status in (401, 403) or isinstance(error, errors.LocalTokenNotFoundError):
        return InputError(
            f"{repo}: expected a token that may write there; {constants.ENDPOINT} refused. Log in with `hf auth login` "
            "or set HF_TOKEN, of an account that owns it; or give --create-pr (create_pr=True) to propose the change."
        )
    if isinstance(error, errors.HFValidationError):
        return InputError(f"{repo}: expected the id of a repository, owner/name; got: {reason(error)}.")
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{repo}: expected a branch that is there; got another. Make it on the hub first.")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return InputError(f"{repo}: expected to reach {constants.ENDPOINT}; HF_HUB_OFFLINE is set. Unset it.")
    return RunError(
        f"{repo}: expected {constants.ENDPOINT} to take the files; got {reason(error)}. Check the network, and try "
        "again."
    )


def _of_the_disk(hub_id: str, error: Exception) -> RunError | None:
    from huggingface_hub.constants import HF_HUB_CACHE

    # The client's fast downloader has errors of its own, with the system's message in them.
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)
    if full:
        return RunError(
            f"{hub_id}: expected room for it in the cache {HF_HUB_CACHE}; the disk is full. Make room, or set "
            "HF_HUB_CACHE to a folder on another disk."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return RunError(
            f"{hub_id}: expected a cache that can be written; got {error.strerror} at {error.filename}. Set "
            "HF_HUB_CACHE to a folder of yours."
        )
    return None


def _of_the_network(hub_id: str, error: Exception, missing: str) -> InputError:
    from huggingface_hub import constants, errors

    # A download that breaks off is reported as a file that is not in the cache, with the cause behind it.
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return InputError(
            f"{hub_id}: expected all of it in the cache {constants.HF_HUB_CACHE}, because HF_HUB_OFFLINE is set; got "
            f"no {missing} there. Unset it to download the model, or give a local folder."
        )
    repo, _, revision = hub_id.partition("@")
    command = f"hf download {repo}{f' --revision {revision}' if revision else ''} --local-dir DIR"
    return InputError(
        f"{hub_id}: expected an answer of {constants.ENDPOINT}, or all of it in the cache {constants.HF_HUB_CACHE}; "
        f"got {reason(cause)}, and no {missing} there. Check the network, or run `{command}` where there is one and "
        "give that folder."
    )


def _status(error: Exception) -> int | None:
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None
