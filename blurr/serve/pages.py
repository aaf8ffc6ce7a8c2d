"""The pages of a server: one to try the model, one that says how to call it; neither loads anything from elsewhere."""

import hashlib
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from blurr.serve.chatting import MOST, is_chat, model_name
from blurr.serve.predictor import Predictor
from blurr.serve.uploads import as_json

HERE = Path(__file__).parent
EXAMPLES = 3
LONG = 80  # characters from which a text gets a higher field
CANDIDATES = {"n_preds": 5}  # options that the page sets: one candidate for a mask is no choice
POLICY = (
    "default-src 'none'",
    "connect-src 'self'",
    "img-src data: blob:",
    "media-src blob:",
    "base-uri 'none'",
    "form-action 'none'",
)
ANSWERS = {"top_k": 3}  # of a question; elsewhere that is the name of another option


def try_page(predictor: Predictor, *, has_token: bool) -> HTMLResponse:
    """Return the page that tries a model: its fields, examples to click, and its answer for a person to read."""
    if is_chat(predictor):
        return chat_page(predictor, has_token=has_token)
    hears = any(media.kind == "sound" for media in predictor.media.values())
    return _page("page", microphone="self" if hears else "", known=_known(predictor, has_token=has_token))


def chat_page(predictor: Predictor, *, has_token: bool) -> HTMLResponse:
    """Return the page that holds a conversation with a model."""
    questions = [each["messages"][-1]["content"] for each in predictor.examples(EXAMPLES)]
    known = {
        "model": model_name(predictor),
        "arch": predictor.hf.arch,
        "examples": list(dict.fromkeys(questions)),
        "most": MOST,
        "token": has_token,
    }
    return _page("chat", known=known)


def docs_page() -> HTMLResponse:
    """Return the page that says how to call a model, which it reads from the schema of the API."""
    return _page("docs")


def task_name(predictor: Predictor) -> str:
    """Return what a predictor does, such as `SequenceClassification`."""
    return type(predictor.saved.task).__name__


def _page(name: str, *, microphone: str = "", **said: Any) -> HTMLResponse:
    style, script = ((HERE / file).read_text(encoding="utf-8") for file in ("style.css", f"{name}.js"))
    templates = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    text = templates.get_template(f"{name}.html.jinja").render(style=style, script=script, **said)
    lent = f"camera=(), geolocation=(), microphone=({microphone})"
    return HTMLResponse(text, headers={**_headers(style, script), "Permissions-Policy": lent})


def _headers(style: str, script: str) -> dict[str, str]:
    """Allow a page its own style, its own script and requests to its server; nothing that a text could bring in."""
    own = [f"{name}-src 'sha256-{_digest(text)}'" for name, text in (("style", style), ("script", script))]
    policy = "; ".join([*own, *POLICY])
    return {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _known(predictor: Predictor, *, has_token: bool) -> dict[str, Any]:
    """Return what the page is made of: names of fields and options, examples."""
    predicts = predictor.saved.task.target.predicts
    examples = [
        {role: _text(value) for role, value in as_json(each, predictor.media).items()}
        for each in predictor.examples(EXAMPLES)
    ]
    preset = CANDIDATES | (ANSWERS if "answers" in predicts else {})
    return {
        "task": task_words(predictor),
        "model": predictor.hf.arch,
        "fields": [_field(predictor, role, predictor.example.get(role, "")) for role in predictor.roles],
        "examples": [dict(each) for each in dict.fromkeys(tuple(each.items()) for each in examples)],
        "options": {name: {"type": is_.__name__, "value": preset.get(name)} for name, is_ in predictor.options.items()},
        "continues": "tokens" in predicts,
        "mask": None if predictor.media else predictor.hf.processor.mask_token,
        "token": has_token,
    }


def _field(predictor: Predictor, role: str, example: Any) -> dict[str, Any]:
    is_required = role in predictor.saved.task.schema.required
    name = "text" if isinstance(example, list) else role  # words are typed as the text that they make
    field = {
        "role": role,
        "label": name.replace("_", " ").capitalize(),
        "required": is_required,
        "shown": is_required or bool(predictor.saved.columns.get(role)),
    }
    if role in predictor.media:
        media = predictor.media[role]
        return {**field, "kind": media.kind, "accept": ",".join(sorted(media.suffixes))}
    return {**field, "rows": 4 if len(_text(example)) > LONG else 2}


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def task_words(predictor: Predictor) -> str:
    """Return the name of a predictor's task as words, such as `Question answering` or `Causal LM`."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", task_name(predictor))
    return " ".join([*parts[:1], *(part if part.isupper() else part.lower() for part in parts[1:])])
