"""Contract 4: the code of the README and of its page on notebooks runs as it stands; the façades name all they have."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from pictures import make_vision_checkpoint, picture_rows
from sounds import make_audio_checkpoint, sound_rows

from docs.pages.blocks import blocks

ROOT = Path(__file__).parents[1]
README, NOTEBOOKS = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/how-to/notebooks.md"))


@pytest.fixture
def at_work(work: Path) -> Path:
    """A folder with the files that the README's commands and code read."""
    rows = pd.DataFrame({"text": [f"a {w} film" for w in ("good", "bad")] * 8, "label": ["good", "bad"] * 8})
    rows["is_valid"] = [i >= 12 for i in range(16)]
    rows["review"], rows["stars"] = rows["text"], [5, 1] * 8
    rows.to_csv(work / "reviews.csv", index=False)
    texts = ["the film was good" + " and it is a plot" * i for i in range(8)]
    pd.DataFrame({"text": texts, "summary": ["good film"] * 8}).to_csv(work / "notes.csv")
    for i, row in enumerate(picture_rows(24)):
        file = work / "photos" / ("cat", "dog")[i % 2] / f"{i // 2}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        row["image"].save(file)
    for i, row in enumerate(sound_rows(24)):
        file = work / "clips" / row["label"] / f"{i // 2}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, *row["audio"])
    return work


@pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")
def test_the_notebook_sections_run_from_top_to_bottom(at_work: Path, tiny_bert: Path, tiny_bart: Path):
    shutil.copytree(tiny_bert, at_work / "distilbert-base-uncased")
    shutil.copytree(tiny_bart, at_work / "bart-base")
    make_vision_checkpoint(at_work / "resnet-50")
    make_audio_checkpoint(at_work / "wav2vec2-base")
    found = [each.code for each in blocks(README + NOTEBOOKS) if each.language == "python"]
    names: dict[str, object] = {}
    for code in found:
        exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    assert len(found) == 7
    assert len(list(at_work.glob("outputs/my-run/*/report.html"))) == 1
    assert (at_work / "classifier.pkl").is_file()


@pytest.mark.parametrize(
    "module", ["blurr.text.data.all", "blurr.text.modeling.all", "blurr.vision.all", "blurr.audio.all"]
)
def test_a_facade_names_all_that_it_has(module: str):
    import importlib
    import types

    facade = importlib.import_module(module)
    public = {
        name for name, value in vars(facade).items() if name[0] != "_" and not isinstance(value, types.ModuleType)
    }
    assert set(facade.__all__) == public
