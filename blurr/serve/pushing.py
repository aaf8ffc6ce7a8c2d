"""Upload the folder of a trained model to the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.errors import HTTPError as NoAnswer  # type: ignore[attr-defined]  # of httpx, or its successor
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # part of its documented API

from blurr.errors import NO_ANSWER_CODES, InputError, ResourceError
from blurr.runs.folder import CARD
from blurr.runs.record import check_links
from blurr.serve.model_folder import check_model

NEVER = ["*.pkl", "*.pickle", "checkpoints/*"]  # pickles run code when they are loaded; checkpoints help nobody else


def push(
    folder: Path,
    repo: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> str:
    """Upload a model with its card in one commit; create the repository and the branch if they do not exist.

    Args:
        folder: the model's folder, see `blurr.serve.model_folder.model_folder`.
        repo: `name`, or `owner/name`.
        token: `None` takes the one of the environment variable HF_TOKEN or of `hf auth login`.
        private: let nobody else see the repository; an existing public one is refused.
        revision: the branch; `None` is the main one.
        message: the commit's message.

    Returns:
        The address of the commit.

    Raises:
        InputError: there is no token or no card, a link leads out of the folder, or the Hub refuses the upload.
        ResourceError: the Hub does not answer.
    """
    _check(folder, repo)
    check_model(folder)
    api = HfApi(token=token or get_token())
    if not api.token:
        raise InputError("There is no token of the Hub. Set HF_TOKEN to one that may write, or run `hf auth login`.")
    try:
        name = _prepare_repo(api, repo, private=private, revision=revision)
        text = message or f"Upload {folder.name}, trained by blurr"
        done = api.upload_folder(
            repo_id=name, folder_path=folder, revision=revision, commit_message=text, ignore_patterns=NEVER
        )
    except (HfHubHTTPError, NoAnswer, OSError, RuntimeError) as error:  # RuntimeError: a large file fails to upload
        # an error's message never has the request's headers, so it does not show the token
        said = f"The Hub at {api.endpoint} does not take {repo}: {_reason(error)}"
        is_refused = isinstance(error, HfHubHTTPError) and error.response.status_code not in NO_ANSWER_CODES
        raise (InputError(said) if is_refused else ResourceError(f"{said}. Try again later.")) from error
    return str(done.commit_url)


def _prepare_repo(api: HfApi, repo: str, *, private: bool, revision: str | None) -> str:
    """Return the full name of the repository, which exists then, with the branch."""
    name = str(api.create_repo(repo, private=private or None, exist_ok=True).repo_id)
    if private and not api.model_info(name).private:
        raise InputError(f"{name} is there already, and public. Make it private on the Hub, or leave out --private.")
    if revision is not None:
        api.create_branch(name, branch=revision, exist_ok=True)
    return name


def _check(folder: Path, repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"{repo!r} is not a name of a repository: {error} Give owner/name.") from error
    if not (folder / CARD).is_file():
        raise InputError(f"{folder} has no card {CARD}, which tells others what the model is. Write one.")
    check_links(folder)


def _reason(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"{error.response.status_code} {error.server_message or error.response.reason_phrase}"
    return str(error).strip().partition("\n")[0] or type(error).__name__
