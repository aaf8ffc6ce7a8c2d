"""Layers, names of files, one place for each thing: found in the folders themselves."""

import ast
import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter

import pytest
import yaml

from blurr.config import paths

# Folders and files of blurr/ by layers, the lowest first: what stands in one imports nothing from a later one.
LAYERS = (
    {"errors", "process"},
    {"config", "data", "runs"},
    {"tracking"},
    {"loading", "models"},
    {"metrics", "training"},
    {"targets", "tasks"},
    {"text", "vision", "audio"},  # modalities: none of them imports another
    {"experiment", "notebook", "plan", "report", "reproduce", "serve", "sweep"},
    {"__main__", "cli", "commands", "doctor", "run"},
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
MODALITIES = LAYERS[6]
# Names of inputs, and methods of tokenizers, that only their modality knows. Files outside it that do, and why.
OF_TEXT = re.compile(
    r"\b(input_ids|token_type_ids|attention_mask|pixel_values|input_features|input_values|decode_ids)\b"
    r"|\.(batch_decode|convert_ids_to_tokens|convert_tokens_to_ids|get_vocab|add_special_tokens)\("
)
EXCEPTIONS = {
    "models/decoder.py": "a decoder reads and writes tokens, whatever the encoder reads",
    "models/generation.py": "what is generated are tokens, and a prompt consists of them",
    "metrics/meaning.py": "BERTScore reads texts with a model of its own",
    "serve/graphs.py": "the inputs of ONNX graphs have names",
}
FILES = {file.relative_to(paths.PACKAGE).as_posix(): file for file in sorted(paths.PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}


def module_of(name: str) -> str:
    return "blurr." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(name): name for name in FILES}


def imports_of(name: str) -> set[str]:
    """Name the modules of ours that a file imports, at its top or in a function."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module for module in found if module in MODULES and module != "blurr"}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def check_no_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")


def test_every_part_of_the_package_stands_in_a_layer():
    parts = {path.stem for path in paths.PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} == set(RANK)


def test_no_more_than_eight_files_lie_at_the_top():
    assert len([file for file in paths.PACKAGE.glob("*.py") if file.stem != "__main__"]) <= 8  # that is a door


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_nothing_from_a_layer_above_it_and_no_other_modality(name: str):
    part = part_of(module_of(name))
    others = {part_of(module) for module in imports_of(name)} - {part}
    assert not {other for other in others if RANK.get(other, 0) > RANK.get(part, 99)}
    assert part not in MODALITIES or not others & MODALITIES


def test_no_circle_joins_two_files_or_two_folders():
    check_no_circle({module_of(name): imports_of(name) - {module_of(name)} for name in FILES})
    folders: dict[str, set[str]] = {}
    for name in FILES:
        part = part_of(module_of(name))
        folders.setdefault(part, set()).update({part_of(module) for module in imports_of(name)} - {part})
    check_no_circle(folders)


@pytest.mark.parametrize("name", [name for name in FILES if name.split("/")[0] not in MODALITIES])
def test_only_a_modality_knows_the_names_of_its_inputs(name: str):
    found = OF_TEXT.search(FILES[name].read_text(encoding="utf-8"))
    assert bool(found) == (name in EXCEPTIONS), found


@pytest.mark.parametrize("group", ["callbacks", "task"])
def test_an_option_has_the_name_of_its_module_or_folder(group: str):
    for option, file in paths.options(group).items():
        targets = re.findall(r"_target_: (blurr\.[\w.]+)", file.read_text(encoding="utf-8"))
        assert all(option in target.split(".")[:-1] for target in targets), targets


@pytest.mark.parametrize("group", ["schedule", "augment", "adapter"])
def test_an_option_has_the_name_of_its_function(group: str):
    for option, file in paths.options(group).items():
        made = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert made is None or made["_target_"].split(".")[-1] == option


def test_no_public_class_is_defined_twice():
    defined = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name[0] != "_"
    )
    assert not [name for name, count in defined.items() if count > 1]


def texts_in(tree: ast.Module) -> set[str]:
    """Return the text constants of a file that are no docstrings."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    }


OWNERS_OF_NAMES = {"runs/folder.py", "config/paths.py"}  # the latter has conf/config.yaml


@pytest.mark.parametrize("name", [name for name in FILES if name not in OWNERS_OF_NAMES])
def test_the_names_of_a_runs_files_stand_in_one_place(name: str):
    lines = [node for node in TREES["runs/folder.py"].body if isinstance(node, ast.Assign)]
    names = {text for line in lines for text in texts_in(ast.Module([line], [])) if re.fullmatch(r"[a-z_]+\.\w+", text)}
    names -= texts_in(ast.Module([line for line in lines if ast.unparse(line.targets[0]) == "OF_MODEL"], []))
    assert {"run.json", "metrics.jsonl", "predictions.jsonl", "report.html"} <= names
    assert not names & texts_in(TREES[name])


OF_PROCESSES = ("training/distributed.py", "training/sharding.py")


@pytest.mark.parametrize("name", [name for name in FILES if name not in OF_PROCESSES])
def test_processes_of_one_training_are_known_in_one_place(name: str):
    assert "torch.distributed" not in FILES[name].read_text(encoding="utf-8")


def test_the_objects_of_a_config_are_made_in_one_place():
    callers = [name for name, file in FILES.items() if re.search(r"\binstantiate\(", file.read_text(encoding="utf-8"))]
    assert callers == ["config/building.py"]


def test_an_experiment_asks_for_no_name_of_a_task_or_model_and_is_short():
    text = FILES["experiment.py"].read_text(encoding="utf-8")
    assert not re.search(r"if .*\b(task|model)\b.*==", text)
    assert len(text.splitlines()) <= 120
