"""Upload the folder of a trained model to the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.errors import HTTPError as NoAnswer  # type: ignore[attr-defined]  # of httpx, or its successor
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented all the same

from blurr.errors import NO_ANSWER_CODES, InputError, ResourceError
from blurr.runs.folder import CARD
from blurr.serve.model_folder import check_model

NEVER = ["*.pkl", "*.pickle", "checkpoints/*"]  # what runs code where it is loaded, or is of no use to others


def push(
    folder: Path,
    repo: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> str:
    """Make the repository where there is none, and upload a model with its card in one commit.

    Args:
        folder: of the model, see `blurr.serve.model_folder.model_folder`.
        repo: `name`, or `owner/name`.
        token: `None` takes that of the environment variable HF_TOKEN or of `hf auth login`.
        private: only for those who are let in; a public repository of this name is refused.
        revision: a branch, made where there is none; `None` is the main one.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        InputError: there is no token or no card, or the Hub refuses.
        ResourceError: the Hub does not answer.
    """
    _check(folder, repo)
    check_model(folder)
    secret = token or get_token()
    if not secret:
        raise InputError("There is no token of the Hub. Set HF_TOKEN to one that may write, or run `hf auth login`.")
    api = HfApi(token=secret)
    try:
        name = api.create_repo(repo, private=private or None, exist_ok=True).repo_id
        if private and not api.model_info(name).private:
            raise InputError(
                f"{name} is there already, and public. Make it private on the Hub, or leave out --private."
            )
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        text = message or f"Upload {folder.name}, trained by blurr"
        done = api.upload_folder(
            repo_id=name, folder_path=folder, revision=revision, commit_message=text, ignore_patterns=NEVER
        )
    except (
        HfHubHTTPError,
        NoAnswer,
        OSError,
        RuntimeError,
    ) as error:  # the last where a large file does not get through
        # what an error says of a request never holds its headers, and with them the token
        said = f"The Hub at {api.endpoint} does not take {repo}: {_said(error)}"
        is_refused = isinstance(error, HfHubHTTPError) and error.response.status_code not in NO_ANSWER_CODES
        raise (InputError(said) if is_refused else ResourceError(f"{said}. Try again later.")) from error
    return str(done.commit_url)


def _check(folder: Path, repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"{repo!r} is no name of a repository: {error} Give owner/name.") from error
    if not (folder / CARD).is_file():
        raise InputError(f"{folder} has no card {CARD}, without which nobody knows what the model is. Write one.")


def _said(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"{error.response.status_code} {error.server_message or error.response.reason_phrase}"
    return str(error).strip().partition("\n")[0] or type(error).__name__
