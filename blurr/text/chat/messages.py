"""Read chats as lists of messages, whatever shape their rows have."""

from collections.abc import Mapping, Sequence
from typing import Any

from blurr.errors import InputError, shortened

Message = dict[str, str]
Messages = list[Message]
SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
NAMES = {  # of roles, as ShareGPT and others have them
    **{name: name for name in (SYSTEM, USER, ASSISTANT)},
    **{"developer": SYSTEM, "human": USER, "gpt": ASSISTANT, "chatgpt": ASSISTANT, "model": ASSISTANT},
}
ALIASES = {  # role of the data to the columns that data sets have for it
    "messages": ("conversations", "conversation"),
    "prompt": ("instruction", "question"),
    "answer": ("output", "response", "completion"),
    "system": ("system_prompt",),
}


def read_chat(row: Mapping[str, Any]) -> Messages:
    """Return the messages of a row to learn from.

    Args:
        row: By role: `messages`, each with `role` and `content` (or ShareGPT's `from` and `value`); or `prompt` and
            `answer`, with Alpaca's `input` below the prompt. Either may have a `system` message besides. Where a row
            has both shapes, `messages` count.

    Raises:
        InputError: It is neither, or has no answer; the message goes on after the number of the row.
    """
    messages = read_messages(row)
    if not any(message["role"] == ASSISTANT for message in messages):
        raise InputError("has no answer: no message is the assistant's")
    if any(message["role"] == ASSISTANT and not message["content"].strip() for message in messages):
        raise InputError("has an empty answer")
    return messages


def read_messages(row: Mapping[str, Any]) -> Messages:
    """Do the same for a row that may have no answer yet, as an item to predict on."""
    given = row.get("messages")
    if given is None:
        given = _of_pair(row)
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(f"has {shortened(repr(given))} in place of a list of messages")
    messages = [_message(each) for each in given]
    system = row.get("system")
    if isinstance(system, str) and system.strip() and not (messages and messages[0]["role"] == SYSTEM):
        messages.insert(0, {"role": SYSTEM, "content": system})
    if not messages:
        raise InputError("has no messages")
    return messages


def _of_pair(row: Mapping[str, Any]) -> list[Any]:
    prompt, answer, beside = (row.get(name) for name in ("prompt", "answer", "input"))
    if prompt is None or prompt == "":
        raise InputError("has neither messages nor a prompt")
    if isinstance(prompt, str) and isinstance(beside, str) and beside.strip():
        prompt = f"{prompt}\n\n{beside}"
    before = prompt if isinstance(prompt, list) else [{"role": USER, "content": prompt}]
    if answer is None:
        return before
    return [*before, *(answer if isinstance(answer, list) else [{"role": ASSISTANT, "content": answer}])]


def _message(given: Any) -> Message:
    if not isinstance(given, Mapping):
        raise InputError(f"has {shortened(repr(given))} in place of a message with role and content")
    name, content = (_first(given, *names) for names in (("role", "from"), ("content", "value")))
    role = NAMES.get(str(name).lower())
    if role is None:
        raise InputError(f"has a message of the unknown role {name!r}, which is not one of {sorted(set(NAMES))}")
    if isinstance(content, list) and all(isinstance(each, Mapping) and each.get("type") == "text" for each in content):
        content = "".join(str(each.get("text", "")) for each in content)  # the parts that OpenAI's clients send
    if not isinstance(content, str):
        raise InputError(f"has a message of {role} whose content is {shortened(repr(content))}, not a text")
    return {"role": role, "content": content}


def _first(given: Mapping[str, Any], *names: str) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def is_message(value: Any) -> bool:
    """Return whether a value is a message, so that a list of such is one chat and not many items."""
    return isinstance(value, Mapping) and ({"role", "content"} <= value.keys() or {"from", "value"} <= value.keys())


def last_answer(messages: Sequence[Mapping[str, str]]) -> int:
    """Return the number of the last message of the assistant; -1 if there is none."""
    return max((i for i, each in enumerate(messages) if each["role"] == ASSISTANT), default=-1)


def turns(messages: Messages) -> tuple[Messages, list[Messages]]:
    """Split a chat into its system messages at the beginning and its turns, each from a user's message on."""
    start = next((i for i, each in enumerate(messages) if each["role"] != SYSTEM), len(messages))
    parts: list[Messages] = []
    for message in messages[start:]:
        if not parts or (message["role"] == USER and parts[-1][-1]["role"] != USER):
            parts.append([])
        parts[-1].append(message)
    return messages[:start], parts
