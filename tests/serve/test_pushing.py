"""A model goes to the Hub: to a server that speaks the part of its HTTP API that uploading needs."""

import base64
import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub.constants
import pytest

from blurr import cli
from blurr.config import composing
from blurr.errors import InputError, ResourceError
from blurr.serve.predictor import Predictor
from blurr.serve.pushing import push

# huggingface_hub gives its HTTP library a file under the name of a form
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes")
TOKEN = "hf_secretsecret"


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory; large files go by LFS, as there."""

    repos: ClassVar[dict[str, dict[str, Any]]] = {}
    blobs: ClassVar[dict[str, bytes]] = {}
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: Any, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/").partition("?")[0].partition("/revision/")[0]
        if name not in self.repos:
            return self.answer(404, {})
        return self.answer(200, {"id": name, "private": self.repos[name]["private"], "sha": "a" * 40, "tags": []})

    def do_PUT(self) -> None:
        self.blobs[self.path.rpartition("/")[2]] = self.read()
        self.answer(200, {})

    def do_POST(self) -> None:
        body = self.read()
        at, _, words = self.path.partition("?")
        if at.startswith("/blobs/"):
            self.answer(200, {})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {}, X_Error_Message="Invalid username or password.")
        elif at.endswith("/info/lfs/objects/batch"):
            address = f"http://127.0.0.1:{self.server.server_address[1]}/blobs/"
            actions = [
                {**each, "actions": {"upload": {"href": address + each["oid"]}}} for each in json.loads(body)["objects"]
            ]
            self.answer(200, {"objects": actions})
        elif "/commit/" in at:
            self.commit(at, body)
        else:
            self.other(at, json.loads(body or b"{}"))

    def other(self, at: str, body: dict[str, Any]) -> None:
        parts = at.removeprefix("/api/").split("/")
        if at == "/api/repos/create":
            name = f"{body['organization'] or 'me'}/{body['name']}"
            url = {"url": f"http://127.0.0.1/{name}", "name": name}
            if name.startswith("others/"):
                return self.answer(403, {}, X_Error_Message="You don't have the rights to create a model here.")
            if name in self.repos:
                return self.answer(409, {"error": "You already created this model repo", **url})
            private = body.get("visibility") == "private"
            self.repos[name] = {"private": private, "branches": {"main": {}}, "messages": []}
            return self.answer(200, url)
        if at == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if "branch" in parts:
            self.repos["/".join(parts[1:3])]["branches"].setdefault(parts[-1], {})
            return self.answer(200, {})
        files = [{"path": f["path"], "uploadMode": mode_of(f), "shouldIgnore": False} for f in body["files"]]
        return self.answer(200, {"files": files})

    def commit(self, at: str, body: bytes) -> None:
        parts = at.removeprefix("/api/models/").split("/")
        repo = self.repos["/".join(parts[:2])]
        branch = repo["branches"][parts[-1]]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                repo["messages"].append(value["summary"])
            elif line["key"] == "file":
                branch[value["path"]] = base64.b64decode(value["content"])
            else:
                branch[value["path"]] = self.blobs[value["oid"]]
        self.answer(200, {"commitUrl": f"http://127.0.0.1/{'/'.join(parts[:2])}/commit/1", "commitOid": "1"})

    def read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


def mode_of(file: dict[str, Any]) -> str:
    return "lfs" if file["path"].endswith(".safetensors") else "regular"


@pytest.fixture
def hub(monkeypatch):
    """A Hub on this machine, where huggingface_hub looks for it, and a token for it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # whose service has a protocol of its own
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(composing, "prepare_process", lambda: None)
    Hub.repos.clear()
    yield Hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(saved, tmp_path: Path) -> Path:
    made = Path(shutil.copytree(saved("sequence_classification")[1], tmp_path / "model"))
    (made / "README.md").write_text("---\nlicense: unknown\n---\n\n# reviews\n")
    (made / "learner.pkl").write_text("code")
    return made


def test_a_model_goes_up_with_its_card_and_comes_back_the_same(hub, folder: Path, tmp_path: Path):
    assert push(folder, "me/reviews").endswith("/me/reviews/commit/1")
    repo = hub.repos["me/reviews"]
    assert repo["messages"] == ["Upload model, trained by blurr"]
    assert not repo["private"]
    files = repo["branches"]["main"]
    assert set(files) == {file.name for file in folder.iterdir()} - {"learner.pkl"}
    assert hashlib.sha256(files["model.safetensors"]).hexdigest() in hub.blobs
    (tmp_path / "back").mkdir()
    for name, content in files.items():
        (tmp_path / "back" / name).write_bytes(content)
    text = "the film was good"
    assert Predictor.load(tmp_path / "back").predict(text) == Predictor.load(folder).predict(text)


def test_the_command_takes_a_branch_a_message_and_privacy_and_never_shows_the_token(hub, folder: Path, capsys, caplog):
    words = ["push", str(folder), "reviews", "--private", "--revision", "v2", "--message", "Second try"]
    arguments = cli.commands().parser.parse_args(words)
    assert arguments.command(arguments) == 0
    assert arguments.command(arguments) == 0  # into a repository that is there by now
    repo = hub.repos["me/reviews"]
    assert repo["private"]
    assert repo["messages"] == ["Second try"] * 2
    assert not repo["branches"]["main"]
    assert "README.md" in repo["branches"]["v2"]
    out = capsys.readouterr()
    assert "/me/reviews/commit/1" in out.out
    assert TOKEN not in out.out + out.err + caplog.text


class TestRefusals:
    def test_no_token(self, hub, folder: Path, monkeypatch):
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(folder / "no token"))
        with pytest.raises(InputError, match="There is no token of the Hub. Set HF_TOKEN"):
            push(folder, "me/reviews")

    @pytest.mark.parametrize("repo", ["a/b/c", "me/re views", "-me/reviews"])
    def test_a_malformed_name(self, repo: str, hub, folder: Path):
        with pytest.raises(InputError, match=f"'{repo}' is not a name of a repository"):
            push(folder, repo)

    def test_a_folder_without_a_model(self, hub, tmp_path: Path):
        arguments = cli.commands().parser.parse_args(["push", str(tmp_path), "me/reviews"])
        with pytest.raises(InputError, match="holds no trained model"):
            arguments.command(arguments)

    def test_a_model_without_a_card(self, hub, folder: Path):
        (folder / "README.md").unlink()
        with pytest.raises(InputError, match=r"has no card README.md"):
            push(folder, "me/reviews")

    def test_a_link_out_of_the_folder(self, hub, folder: Path):
        (folder / "notes.txt").symlink_to("/etc/hostname")
        with pytest.raises(InputError, match="notes.txt is a link to /etc/hostname, out of the folder"):
            push(folder, "me/mine")

    def test_a_public_repository_that_was_to_be_private(self, hub, folder: Path):
        push(folder, "me/reviews")
        with pytest.raises(InputError, match="me/reviews is there already, and public"):
            push(folder, "me/reviews", private=True)
        assert len(hub.repos["me/reviews"]["messages"]) == 1

    @pytest.mark.parametrize(
        ("token", "repo", "said"), [("hf_other", "me/reviews", "401"), (TOKEN, "others/reviews", "403 You don't have")]
    )
    def test_what_the_hub_refuses_and_the_token_stays_unsaid(self, token: str, repo: str, said: str, hub, folder: Path):
        with pytest.raises(InputError, match=f"does not take {repo}: {said}") as caught:
            push(folder, repo, token=token)
        assert token not in str(caught.value)

    def test_a_hub_that_does_not_answer(self, hub, folder: Path, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(ResourceError, match="The Hub at http://127.0.0.1:9 does not take me/reviews"):
            push(folder, "me/reviews")

    def test_the_command_line_ends_with_exit_code_2(self, blurr, folder: Path):
        done = blurr("push", str(folder), "a/b/c", HF_TOKEN=TOKEN)
        assert done.returncode == 2
        assert done.stderr.strip().startswith("'a/b/c' is not a name of a repository")
        assert TOKEN not in done.stdout + done.stderr
