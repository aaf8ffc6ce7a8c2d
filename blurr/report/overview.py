"""Say what was run: data, weights, settings, versions, and the command to run it again."""

import shlex
from typing import Any

import pandas as pd

from blurr.report.record import Record
from blurr.runs.jsonlines import flatten


def overview(record: Record) -> dict[str, pd.DataFrame]:
    """Give the tables at the head of a report: `Scores`, `Run`, `Environment`, `Config`."""
    return {
        "Scores": scores(record),
        "Run": _table(run_facts(record)),
        "Environment": _table(environment(record)),
        "Config": _table(flatten(record.config)),
    }


def scores(record: Record) -> pd.DataFrame:
    """Return the final metrics: `metric`, a column for each split, and what is to be said beside them, if anything."""
    notes = {key.partition("/")[2]: note for key, note in record.notes.items()}
    rows: dict[str, dict[str, Any]] = {}
    for key, value in record.scores.items():
        split, _, name = key.partition("/")
        rows.setdefault(name, {})[split] = value
    said = {name: {"note": notes.get(name, "")} if notes else {} for name in rows}
    return pd.DataFrame([{"metric": name, **values, **said[name]} for name, values in rows.items()])


def command(record: Record) -> str:
    """Give the command that runs it again, in a folder of its own."""
    words = [word for word in record.overrides if not word.startswith(("output_dir=", "resume=", "overwrite="))]
    return f"python -m blurr.run {shlex.join(words)}".strip()


def note(record: Record) -> str:
    """Describe the run in Markdown, as the page of a run in MLflow shows it."""
    notes = record.notes
    lines = [f"- **{name}** {value:.4g} {notes.get(name, '')}".rstrip() for name, value in record.scores.items()]
    lines += [f"- **Worth nothing?** {line}" for line in record.doubts]
    facts = [f"- {name}: {value}" for name, value in run_facts(record).items()]
    return "\n".join([*lines, "", *facts, "", f"`{command(record)}`", "", "All of it: the artifact `report.html`."])


def run_facts(record: Record) -> dict[str, str]:
    """Say what went in."""
    facts, config = record.facts, record.config
    said = {
        "run": record.identity or "",
        **facts.get("choices", {}),
        "weights": f"{facts.get('weights', '?')} ({config.get('model', {}).get('name', '?')})",
        "parameters": f"{facts['parameters']:,}" if "parameters" in facts else "",
        "numbers": _numbers(facts.get("numbers", {})),
        "data from": facts.get("source", ""),
        "rows": ", ".join(f"{split} {n:,}" for split, n in facts.get("rows", {}).items()),
        "labels": ", ".join(facts.get("labels") or []),
        "seed": str(config.get("seed", "")),
    }
    return {key: value for key, value in said.items() if value}


def _numbers(facts: dict[str, str | None]) -> str:
    """Say in which type of numbers the weights were trained and are saved, and in which the checkpoint had them."""
    trained, stored = facts.get("trained"), facts.get("stored")
    return f"{trained} (the checkpoint has {stored})" if stored not in (None, trained) else trained or ""


def environment(record: Record) -> dict[str, str]:
    """Say where it ran."""
    found = record.environment
    git = found.get("git") or {}
    said = {
        "blurr": found.get("blurr", ""),
        "python": found.get("python", ""),
        **found.get("packages", {}),
        "platform": found.get("platform", ""),
        "CPUs": str(found.get("cpu", {}).get("count", "")),
        "memory": f"{found['memory_gib']} GiB" if "memory_gib" in found else "",
        "GPU": ", ".join(gpu["name"] for gpu in found.get("gpu", [])) or "none",
        "git": f"{git['commit'][:10]}{' with changes' if git['dirty'] else ''}" if git else "",
    }
    return {key: value for key, value in said.items() if value}


def _table(values: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"name": list(values), "value": list(values.values())})
