"""Hide passwords and tokens before a configuration or a text is written down."""

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

MASK = "***"

# `token` alone or with a service's name; not `max_tokens`, `pad_token` or the column role `tokens`.
_SECRET_NAME = re.compile(
    r"(^|[_.-])(password|passwd|pwd|secret|api_?key|(access|private|secret)_key|credentials?"
    r"|(access|api|auth|bearer|hf|hub)_token)$|^token$",
    re.IGNORECASE,
)
_URI_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s]+@")
_ASSIGNED = re.compile(r"((?:password|passwd|secret|api_?key|_token|[?&]token)=)[^&\s]+", re.IGNORECASE)
# as a dict or a YAML file shows it
_ENTERED = re.compile(
    r"((?:password|passwd|secret|api_?key|(?:access|api|auth|bearer|hf|hub)_token)[\"']?: ?[\"']?)[^\s\"',}]+",
    re.IGNORECASE,
)
FOLDERS = {"PWD", "OLDPWD"}  # where a shell works: no passwords, whatever their names sound like
LEAST = 8  # characters of a value of the environment that is looked for; shorter ones are found in any text
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[oprsu]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|dapi[0-9a-f]{32})\b"
)


def mask_text(text: str) -> str:
    """Replace passwords in URIs, `password=…`, well-known kinds of token, and secrets of the environment in a text."""
    for name in list(os.environ):  # another thread may set or remove one meanwhile
        value = os.environ.get(name, "")
        if name not in FOLDERS and len(value) >= LEAST and _SECRET_NAME.search(name):
            text = text.replace(value, MASK)
    text = _URI_PASSWORD.sub(rf"\1:{MASK}@", text)
    return _TOKEN.sub(MASK, _ENTERED.sub(rf"\1{MASK}", _ASSIGNED.sub(rf"\1{MASK}", text)))


class MaskingFormatter(logging.Formatter):
    """Writes lines of a log without their secrets; conf/config.yaml gives it to Hydra."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a line, its traceback included."""
        return mask_text(super().format(record))


def mask_config(value: Any, name: str = "") -> Any:
    """Copy a configuration without its secrets, and with plain YAML types only.

    Args:
        value: nested dicts and lists of scalars; anything else is written as its text.
        name: the key that holds `value`; a secret-looking name hides the value.

    Returns:
        The copy. A secret that is not set (null or empty) stays as it is.
    """
    if isinstance(value, dict):
        return {str(key): mask_config(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_config(item, name) for item in value]
    if value is None or value == "":
        return value
    if _SECRET_NAME.search(name):
        return MASK
    return value if isinstance(value, bool | int | float) else mask_text(str(value))


def mask_overrides(overrides: Sequence[str]) -> list[str]:
    """Copy command-line overrides (`key=value`) without their secrets."""
    return [_mask_override(override) for override in overrides]


def _mask_override(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals:
        return override
    return f"{key}={mask_config(value, key.rpartition('.')[2].lstrip('+'))}"
