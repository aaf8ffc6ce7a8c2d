"""Hide passwords and tokens before a configuration or a text is written down.

What is hidden: values under names of secrets, credentials in addresses and headers, well-known kinds of tokens, and
secrets of the environment wherever they turn up.
"""

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from blurr.errors import visible

MASK = "***"
FOLDERS = {"PWD", "OLDPWD"}  # where a shell works: no passwords, whatever their names sound like
LEAST = 8  # characters of a value of the environment that is looked for; shorter ones are found in any text
COLUMNS = "columns"  # of the data: the names below it are roles, and the values names of columns

# The last word of a name whose value is a secret, such as `PGPASSWORD`
_ALWAYS = ("password", "passwd", "passphrase", "secret", "credential", "credentials", "authorization", "apikey", "pwd")
# … and words that make one of the last word: `db_pass`, `openai_key`, `github_pat`; not `forward_pass` or `sort_key`
_BEFORE = {
    "pass": {*("db", "database", "pg", "postgres", "mysql", "sql", "redis", "mongo", "smtp", "mail", "ftp", "ssh")}
    | {*("ldap", "http", "proxy", "server", "user", "admin", "root", "login", "app", "key")},
    "key": {*("api", "access", "account", "app", "auth", "client", "deploy", "encryption", "license", "master")}
    | {*("private", "secret", "service", "session", "shared", "signing", "ssh", "storage", "subscription", "hf")}
    | {*("anthropic", "aws", "azure", "cohere", "gcp", "google", "groq", "huggingface", "mistral", "openai", "wandb")},
    "pat": {"github", "gitlab", "azure", "ado"},
}
_JOINED = {f"{word}{end}" for end, words in _BEFORE.items() for word in words} | {"authtoken", "accesstoken"}
# Any other `…_token` is a secret than those of tokenizers and generation, such as `pad_token`
_OF_TEXTS = {
    *("additional", "audio", "blank", "boi", "bos", "cls", "decoder", "delimiter", "end", "eoi", "eos", "eot", "extra"),
    *("first", "forced", "image", "lang", "language", "last", "mask", "new", "next", "pad", "per", "prefix", "sep"),
    *("special", "start", "suffix", "tool", "unk", "video", "word"),
}
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")
_NAMED = re.compile(r"""(?<![\w.-])([A-Za-z_][\w.-]*)(?:\\?["'])?\s*(?:=>|=|:(?!/))\s*(\\?["'])?""")
_VALUES = {  # by the quote that begins them, which text in JSON has escaped
    None: re.compile(r"""[^\s"',;}&\])]+"""),
    '"': re.compile(r'(?:\\.|[^"\\\n])+'),
    "'": re.compile(r"(?:\\.|[^'\\\n])+"),
    '\\"': re.compile(r'.+?(?=\\")'),
    "\\'": re.compile(r".+?(?=\\')"),
}
_NOTHING = ("None", "null", "True", "False", "true", "false", MASK)
_LOOKS_RANDOM = re.compile(r"(?=\S*\d)[\w./+=~-]{12,}")
_HEADER = re.compile(r"""(authorization\\?["']?\s*[:=]\s*\\?["']?)(?:[a-z-]+ +)?[^\s"',}\\]+""", re.IGNORECASE)
_SCHEME = re.compile(r"\b(Bearer|Basic) +(?=\S*[\d=])[\w.~+/=-]{12,}")
# Who is named before the @ of an address: the password may have a slash, and is not a port
_ADDRESSES = (
    (re.compile(r"(?<=://)([^/\s:@]*):[^/\s]+@"), rf"\1:{MASK}@"),
    (re.compile(r"""(?<=://)([^/\s:@"']*):(?!\d{1,5}[/?#])[^\s"'@]+@"""), rf"\1:{MASK}@"),
    (re.compile(r"""(?<=http://)[^/\s:@"']+@|(?<=https://)[^/\s:@"']+@"""), f"{MASK}@"),
)
_TOKENS = re.compile(
    r"\b(?:hf_\w{20,}|sk-[\w-]{20,}|[sr]k_live_\w{16,}|gh[oprsu]_\w{20,}|github_pat_\w{20,}|npm_\w{30,}"
    r"|gl(?:pat|dt|rt|ft|soat|cbt|imt|ptt|agent|oas)-[\w-]{16,}|xox[a-z]-[\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}|dapi[0-9a-f]{32}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def is_secret(name: str) -> bool:
    """Return whether what has this name is a secret: a key of a config, an entry of a text, a variable."""
    words = [word.lower() for word in _WORD.findall(name)]
    *_, before, last = ["", "", *words]
    if last.removesuffix("s").endswith(_ALWAYS):
        return True
    if last == "token":
        return not {words[0], before} & _OF_TEXTS
    if last == "pass" and len(words) == 1:
        return True
    if before in _BEFORE.get(last, ()):
        return True
    return last in _JOINED


def mask_text(text: str) -> str:
    """Replace the secrets in a text."""
    for name in list(os.environ):  # another thread may set or remove one meanwhile
        value = os.environ.get(name, "")
        if name not in FOLDERS and len(value) >= LEAST and _is_secret_variable(name):
            text = text.replace(value, MASK)
    for pattern, masked in _ADDRESSES:
        text = pattern.sub(masked, text)
    text = _SCHEME.sub(rf"\1 {MASK}", _HEADER.sub(rf"\1{MASK}", text))
    return _mask_entries(_TOKENS.sub(MASK, text))


def _is_secret_variable(name: str) -> bool:
    return is_secret(name) or name.rpartition("_")[2].upper() in ("KEY", "TOKEN", "PASS", "PAT")


def _mask_entries(text: str, *, is_code: bool = True) -> str:
    """Replace the values of `password=…`, `'token': '…'` and their kind; in code a `token` may be of a text."""
    parts, done = [], 0
    for found in _NAMED.finditer(text):
        name, quote = found.groups()
        if found.start() < done or not is_secret(name):
            continue
        value = _VALUES[quote].match(text, found.end())
        if value is None or value[0] in _NOTHING:
            continue
        is_query = text[found.start() - 1 : found.start()] in ("?", "&")
        if is_code and name == "token" and not (quote or is_query or _LOOKS_RANDOM.fullmatch(value[0])):
            continue
        parts += [text[done : found.end()], MASK]
        done = value.end()
    return "".join([*parts, text[done:]])


class MaskingFormatter(logging.Formatter):
    """Writes lines of a log without their secrets and control characters; conf/config.yaml gives it to Hydra."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a line, its traceback included."""
        return visible(mask_text(super().format(record)))


def mask_config(value: Any, name: str = "") -> Any:
    """Copy a configuration without its secrets, and with plain YAML types only.

    Args:
        value: nested dicts and lists of scalars; anything else is written as its text.
        name: the key that holds `value`; a secret-looking name hides the value, and all below it.

    Returns:
        The copy. A secret that is not set (null or empty) stays as it is, as `token: true` does.
    """
    if isinstance(value, dict):
        inherited = name if is_secret(name) else None
        if name == COLUMNS:
            inherited = ""
        return {
            str(key): mask_config(item, str(key) if inherited is None else inherited) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_config(item, name) for item in value]
    if value is None or value == "" or isinstance(value, bool):
        return value
    if is_secret(name):
        return MASK
    return value if isinstance(value, int | float) else mask_text(str(value))


def mask_overrides(overrides: Sequence[str]) -> list[str]:
    """Copy command-line overrides (`key=value`) without their secrets."""
    return [_mask_override(override) for override in overrides]


def _mask_override(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals:
        return override
    *above, last = re.split(r"[./]", key.lstrip("+~"))
    if any(map(is_secret, above)) or (is_secret(last) and above[-1:] != [COLUMNS]):
        return f"{key}={mask_config(value, 'secret')}"
    return f"{key}={_mask_nested(override) if value[:1] in ('{', '[') else mask_text(value)}"


def _mask_nested(override: str) -> str:
    """Return the value of an override, a dict or a list, without its secrets; as it is if it has none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    text = override.partition("=")[2]
    try:
        parsed = OverridesParser.create().parse_override(override)
        value = None if parsed.is_sweep_override() else parsed.value()
    except HydraException:  # who composes the config answers that
        value = None
    if value is None:
        return _mask_entries(mask_text(text), is_code=False)
    masked = mask_config(value, parsed.key_or_group.rpartition(".")[2])
    return text if masked == value else _written(masked)


def _written(value: Any) -> str:
    """Write a plain value as an override has it."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_written(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, str):
        quoted = re.sub(r"(\\*)'", r"\1\1\\'", value)
        return f"'{quoted}'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
