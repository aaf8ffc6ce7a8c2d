"""What the README and the guides say is run, page by page, in a folder with the files that they name."""

import json
import random
import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from checkpoints import make_tiny_bert
from code_blocks import ROOT, words_of
from forked import Forked, door
from pictures import make_vision_checkpoint, picture_rows
from sounds import make_audio_checkpoint, sound_rows

from blurr.vision.samples import KINDS, boxed_scenes, scenes
from docs.pages import walk
from docs.pages.blocks import blocks

GUIDES = ["README.md", *sorted(f"docs/how-to/{file.name}" for file in (ROOT / "docs" / "how-to").glob("*.md"))]
TASKS = {  # what RUN and the checkpoints of a page have learnt; texts with a class elsewhere
    "docs/audio_classification.md": "audio_classification",
    "docs/augmentation.md": "image_classification",
    "docs/chat.md": "chat",
    "docs/image_classification.md": "image_classification",
    "docs/object_detection.md": "object_detection",
    "docs/segmentation.md": "semantic_segmentation",
    "docs/speech_recognition.md": "speech_recognition model=whisper",
}
PAGES = [*GUIDES, *TASKS, "docs/adapters.md", "docs/scores.md", "docs/reference/exit_codes.md"]
CHECKPOINT = re.compile(r'model\.name=([\w.-]+/[\w.-]+)(?!/)|from_data\("[^"]+", "([\w.-]+/[\w.-]+)"')
NEEDS = {  # words of commands that are not run here
    "squad_v2": "a network",
    "imdb_bert": "a network",
    "tracking=server": "a server",
    "blurr serve": "runs until Ctrl-C",
    "blurr ui": "runs until Ctrl-C",
    "models:/": "a registry",
    "pip ": "a package index",
    "pytest": "is what runs here",
    "sweep=tpe": "Optuna, and is run by tests/sweep",
    "sweep=asha": "Optuna, and is run by tests/sweep",
}
ADJECTIVES = {"good": ("fine", "superb"), "bad": ("dull", "awful")}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, checkpoints and runs that pages name."""
    folder = tmp_path_factory.mktemp("stock")
    write_tables(folder)
    write_media(folder)
    write_boxes(folder)
    write_masks(folder)
    make_tiny_bert(folder / "distilbert-base-uncased")
    make_vision_checkpoint(folder / "resnet-50")
    make_audio_checkpoint(folder / "wav2vec2-base")
    quick = ["debug=quick", "report=false"]
    on_rows = ["data=files", "data.train=train.csv", "data.valid=valid.csv"]
    for name, words in {"RUN": on_rows, "RUN2": [*on_rows, "seed=2"], "QA": ["task=question_answering"]}.items():
        call(["run", *words, *quick, f"output_dir={name}"], folder)
    call(["run", *on_rows, *quick, "output_dir=outputs/mine"], folder)
    call(["run", "task=chat", *quick, "output_dir=CHAT"], folder)
    shutil.copytree(folder / "CHAT" / "model", folder / "HuggingFaceTB" / "SmolLM2-135M")
    return folder


def write_tables(folder: Path) -> None:
    rows = pd.DataFrame({"label": ["good", "bad"] * 40})
    rows["text"] = [f"film {i} was {ADJECTIVES[label][i % 2]}" for i, label in enumerate(rows.label)]
    rows["review"], rows["stars"], rows["trust"] = rows.text, [5, 1] * 40, 0.5
    rows["author"] = [f"author {i % 8}" for i in range(80)]
    rows["split"] = ["valid" if i % 4 == 0 else "train" for i in range(80)]
    rows.to_csv(folder / "reviews.csv", index=False)
    for name in ("train", "valid", "test", "new"):
        rows[["text", "label"]].to_csv(folder / f"{name}.csv", index=False)
    labels = ["joy|love" if label == "good" else "fear" for label in rows.label]
    pd.DataFrame({"text": rows.text, "label": labels}).to_csv(folder / "emotions.csv", index=False)
    (folder / "texts.txt").write_text("a film to remember\na film to forget\n")
    answer = {"role": "assistant", "content": "Ann."}
    (folder / "chats.jsonl").write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"who is {i}?"}, answer]}) + "\n" for i in range(80)
        )
    )
    pd.DataFrame({"text": rows.text, "summary": "good film"}).to_csv(folder / "notes.csv", index=False)


def write_media(folder: Path) -> None:
    pictures, boxes = [], []
    for i, row in enumerate(picture_rows(24)):
        file = folder / "photos" / ("cat", "dog")[i % 2] / f"{i // 2}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        row["image"].save(file)
        name = file.relative_to(folder / "photos").as_posix()
        pictures.append({"id": i, "file_name": name, "width": row["image"].width, "height": row["image"].height})
        boxes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 6, 6], "area": 36, "iscrowd": 0})
    coco = {"images": pictures, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "train.json").write_text(json.dumps(coco))
    clips = []
    for i, row in enumerate(sound_rows(24)):
        file = folder / "clips" / row["label"] / f"{i // 2}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, *row["audio"])
        soundfile.write(folder / "clip.flac", *row["audio"])
        clips.append({"audio": file.relative_to(folder).as_posix(), "text": "it is a tone"})
    pd.DataFrame(clips).to_csv(folder / "clips.csv", index=False)


def write_boxes(folder: Path) -> None:
    """Write `street/`, as COCO has it, and `yolo/`."""
    draw = random.Random(0)
    for split in ("train", "val"):
        images, annotations = [], []
        for i in range(16):
            row, name = boxed_scenes(draw), f"{split}_{i}.jpg"
            file, lines = folder / "yolo" / "images" / split / name, []
            for each in row["boxes"]:
                left, top, right, bottom = each["box"]
                kind, bbox = KINDS.index(each["label"]), [left, top, right - left, bottom - top]
                annotations.append({"id": len(annotations), "image_id": i, "category_id": kind, "bbox": bbox})
                lines.append(f"{kind} {(left + right) / 128} {(top + bottom) / 128} {bbox[2] / 64} {bbox[3] / 64}")
            images.append({"id": i, "file_name": name, "width": 64, "height": 64})
            for where in (file, folder / "street" / name, folder / "photo.jpg"):
                where.parent.mkdir(parents=True, exist_ok=True)
                row["image"].save(where)
            texts = folder / "yolo" / "labels" / split / f"{split}_{i}.txt"
            texts.parent.mkdir(parents=True, exist_ok=True)
            texts.write_text("\n".join(lines))
        kinds = [{"id": i, "name": name} for i, name in enumerate(KINDS)]
        coco = {"images": images, "annotations": annotations, "categories": kinds}
        (folder / "street" / f"{split}.json").write_text(json.dumps(coco))
    (folder / "yolo" / "data.yaml").write_text(f"names: [{', '.join(KINDS)}]")


def write_masks(folder: Path) -> None:
    draw = random.Random(0)
    for i in range(16):
        for name, picture in scenes(draw).items():
            file = folder / "scenes" / f"{name}s" / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)


def learn(page: str, folder: Path) -> None:
    """Have RUN be of the page's task, and the checkpoints that the page names what it has saved."""
    if page in TASKS:
        shutil.rmtree(folder / "RUN")
        call(["run", *f"task={TASKS[page]}".split(), "debug=quick", "report=false", "output_dir=RUN"], folder)
    for name in {"".join(found) for found in CHECKPOINT.findall((ROOT / page).read_text("utf-8"))}:
        if page not in GUIDES and not (folder / name).exists():
            shutil.copytree(folder / "RUN" / "model", folder / name)


def call(words: list[str], folder: Path) -> Forked:
    done = Forked(door, "blurr.cli", *words, cwd=folder)
    done.wait(timeout=600)
    assert done.returncode in (0, 2) if "resume=last" in words else done.returncode == 0, (words, done.stderr[-3000:])
    return done


def quickly(words: list[str]) -> list[str]:
    """Return the words of a run that takes seconds, and goes over the same code."""
    if words[0] != "run" or any("resume=" in word for word in words):
        return words
    return [*words, "debug=quick", *([] if "-m" in words else ["report=false"])]


def run_line(line: str, folder: Path) -> None:
    """Run a command of blurr, with what is piped into or out of it, or send a request to a server of RUN."""
    if line.startswith("curl localhost:8000/"):
        served = f"```bash\nblurr serve RUN --port 8000\n{line.replace('curl', 'curl -sSf', 1)}\n```\n"
        assert walk.walk(served, folder, walk.in_shell).faults == []
    if any(word in line for word in NEEDS) or not (line.startswith(("blurr ", "cat ")) and "blurr" in line):
        return
    before, _, rest = line.rpartition("blurr ")
    command, _, goal = rest.partition(" > ")
    words = quickly(words_of(command))
    if before:
        (file,) = re.findall(r"cat (\S+)", before)
        words = [str(folder / file) if word == "-" else word for word in words]
        words = ["predict", words[1], "--input", file, "--output", goal.strip()]
    call(words, folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_can_be_done(page: str, stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "work"
    shutil.copytree(stock, folder)
    learn(page, folder)
    monkeypatch.chdir(folder)
    if "notebooks" in page or page == "README.md":
        text = (ROOT / page).read_text(encoding="utf-8").replace("```python", "```text")  # run by tests/test_readme.py
    else:
        text = (ROOT / page).read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in filter(lambda each: each.is_run, blocks(text)):
        own = re.search(r"`([\w/]+\.yaml)`", block.before)
        file = re.match(r"# (\w+\.py)\n", block.code)
        if block.language == "yaml" and own:
            (folder / own[1]).parent.mkdir(exist_ok=True)
            (folder / own[1]).write_text(block.code)
        elif block.language == "python" and file:
            (folder / file[1]).write_text(block.code)
        elif block.language == "python":
            exec(compile(block.code, page, "exec"), names)  # noqa: S102
        elif block.language == "bash":
            for line in block.commands:
                run_line(line, folder)


def test_words_are_split_as_a_shell_does():
    assert words_of("run 'a=\"b c\"'  # why") == shlex.split("run 'a=\"b c\"'")
