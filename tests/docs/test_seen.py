"""What the page of each task shows is what a run of today gives, apart from what a model has learnt."""

from pathlib import Path
from typing import Any

import pytest
from running import run

from docs.pages import seen, tasks

SAME = ("row", "item", "request", "rows", "checkpoint")
QUICK = ("debug=quick", "tracking=none")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def form(value: Any) -> Any:
    """Return the names and kinds in a value, and the whole of lists of names, whatever the model says."""
    if isinstance(value, dict):
        return {key: form(each) for key, each in value.items()}
    if isinstance(value, list):
        return [form(value[0])] if value else []
    return "a number" if isinstance(value, int | float) else type(value).__name__


def is_like(shown: Any, seen_now: Any) -> bool:
    """Is one form the other, apart from lists in which one of them has nothing?"""
    if isinstance(shown, dict) and isinstance(seen_now, dict):
        return shown.keys() == seen_now.keys() and all(is_like(shown[key], seen_now[key]) for key in shown)
    if isinstance(shown, list) and isinstance(seen_now, list):
        return not shown or not seen_now or is_like(shown[0], seen_now[0])
    return shown == seen_now


@pytest.mark.parametrize("task", tasks.SEEN)
def test_the_page_of_a_task_shows_what_is_recorded_today(task: str, work: Path):
    run(work / "RUN", f"task={task}", *QUICK)
    shown, found = tasks.SEEN[task], seen.record(task, work / "RUN")
    assert {key: found[key] for key in SAME} == {key: shown[key] for key in SAME}
    assert found["scores"].keys() == shown["scores"].keys()
    for key in ("answer", "response"):
        assert is_like(form(shown[key]), form(found[key])), (form(shown[key]), form(found[key]))
