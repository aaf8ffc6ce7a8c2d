"""Libraries are imported without what few runs call of others, and have it when it is called."""

import sys

import pytest

from blurr.process import imports


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Make a package with a part, each of which says when it is loaded, and a library for each way to import them."""
    files = {
        "slow/__init__.py": "",
        "slow/part.py": "OTHER = 7\ndef work(n, *, times=2):\n    return n * times\n",
        "slow/rest.py": "REST = 8\n",
        "by_name.py": "from slow.part import work\n",
        "by_module.py": "import inspect\nimport slow.part as part\ninspect.getmodule(object())\n",
        "by_other_name.py": "from slow.part import OTHER\n",
        "by_other_part.py": "from slow import rest\nfrom slow.rest import REST\n",
        "by_path.py": "import slow.part\nimport slow.rest\nREST = slow.rest.REST\n",
        "broken.py": "import slow.part as part\nraise RuntimeError('broken')\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "DEFERRED", {"slow": (), "slow.part": ("work",)})
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in {"slow", "broken"} or "by_" in name[:3]]:
        del sys.modules[name]


def loaded() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] == "slow"}


def test_a_function_that_is_imported_by_name_loads_its_module_when_it_is_called(slow):
    imports.import_libraries("by_name")
    assert loaded() == set()
    assert sys.modules["by_name"].work(3, times=5) == 15
    assert loaded() == {"slow", "slow.part"}


def test_a_module_that_is_imported_is_loaded_when_something_of_it_is_asked_for(slow):
    imports.import_libraries("by_module", "by_name")
    assert loaded() == set()
    assert sys.modules["by_module"].part.OTHER == 7
    assert sys.modules["by_module"].part.work(1) == 2


@pytest.mark.parametrize(
    ("library", "name", "value"), [("by_other_name", "OTHER", 7), ("by_other_part", "REST", 8), ("by_path", "REST", 8)]
)
def test_whatever_else_a_library_takes_is_there_at_once(slow, library, name, value):
    imports.import_libraries("by_name", library)
    assert vars(sys.modules[library])[name] == value
    assert sys.modules["slow"].__file__


def test_nothing_stands_in_where_an_import_fails_or_the_module_is_loaded_already(slow):
    with pytest.raises(RuntimeError, match="broken"):
        imports.import_libraries("broken")
    assert loaded() == set()
    from slow.part import work

    imports.import_libraries("by_name")
    assert sys.modules["by_name"].work is work
