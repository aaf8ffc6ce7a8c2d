"""The pages of a server in a browser: readable answers, mistakes in a sentence, for eyes and keyboards."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import NARROW, WIDE, chromium, faults, opened
from every_task import TASKS, TEXTS, save_model
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from blurr.data.at_hand import from_data
from blurr.loading.loader import Loader
from blurr.models.objects import build_model
from blurr.text.inputs import TEXT
from blurr.text.modeling.all import SequenceClassification

LABELS: dict[str, tuple[str, list[Any]]] = {
    "several labels": ("multilabel", [["a", "b"], ["b"], ["c"], []] * 4),
    "a number": ("regression", [i / 4 for i in range(16)]),
    "many classes": ("multiclass", [f"class {i % 12:02}" for i in range(16)]),
}
KINDS = [*sorted(TASKS.keys() - {"chat"}), *LABELS]  # whose page is another, see test_chat


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(serve, saved, tiny_bert: Path, tmp_path_factory):
    """Give, for a kind of answer, the address of a server that gives it."""
    started: dict[str, str] = {}

    def of(kind: str) -> str:
        if kind not in started:
            folder = saved(kind)[1] if kind in TASKS else with_labels(kind, tiny_bert, tmp_path_factory.mktemp("model"))
            started[kind] = serve(folder)
        return started[kind]

    return of


def with_labels(kind: str, bert: Path, folder: Path) -> Path:
    said, labels = LABELS[kind]
    task: Any = SequenceClassification(kind=said)
    rows = [{"text": text, "label": labels[i], "is_valid": i >= 12} for i, text in enumerate(TEXTS)]
    raw = from_data(task.schema, rows)
    config = task.target.model_config(raw)
    options: Any = {"load_weights": True, "weights": "pretrained", "inputs": TEXT, "corpus": tuple}
    hf = build_model(str(bert), model_cls=task.model_cls, config=config, **options)
    learn = task.learner(task.dataloaders(raw, hf, Loader(batch_size=4)), hf, raw=raw, metrics={})
    return save_model(learn, task, folder)


def click(page: Page, number: int = 1) -> Any:
    """Click an example; gives the prediction that the page has asked for."""
    with page.expect_response("**/predict") as caught:
        page.locator("#examples button").nth(number).click()
    expect(page.locator("#answer .card").first).to_be_visible()
    return caught.value.json()["predictions"][0]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def readable(kind: str, answer: Any) -> list[str]:
    """Give what a person has to find on the page, of the prediction that the server gave."""
    if "probs" in answer:
        chosen = answer.get("labels", [answer.get("label")])
        return [", ".join(chosen) or "No label is likely enough.", *map(percent, sorted(answer["probs"])[-3:])]
    if kind == "a number":
        return [f"{answer['value']:.5g}"]
    if kind == "token_classification":
        return [each["word"] for each in answer]
    if kind == "question_answering":
        return [*(each["answer"] for each in answer["answers"]), percent(answer["score"])]
    if kind == "masked_lm":
        return [answer["filled_texts"][0], *answer["masks"][0]["tokens"]]
    return [text for text in answer.values() if text] or ["(empty)", "(nothing)"][kind == "causal_lm" :][:1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_answered_for_a_person_to_read(kind: str, address, browser: Browser):
    with opened(browser, address(kind)) as page:
        answer = click(page)
        shown = " ".join(page.locator("#answer").inner_text().split())
        for text in readable(kind, answer):
            assert " ".join(text.split()) in shown
        expect(page.locator("#json")).to_be_hidden()
        page.get_by_role("switch", name="Raw JSON").check()
        assert json.loads(page.locator("#json").inner_text()) == {"predictions": [answer]}
        for summary in page.locator("summary:visible").all():
            summary.click()
        assert faults(page) == []
        page.emulate_media(color_scheme="dark")
        assert faults(page) == []
        page.set_viewport_size(NARROW)
        assert faults(page) == []


@pytest.fixture(scope="module")
def of_pictures(serve, pictures) -> str:
    return serve(pictures[1])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Give two pictures, and a file that is none."""
    made = [tmp_path / name for name in ("wide.png", "small.jpg", "notes.png")]
    Image.new("RGB", (640, 200), "teal").save(made[0])
    Image.new("RGB", (20, 20), "red").save(made[1])
    made[2].write_text("no picture")
    return made


def test_pictures_are_shown_beside_their_answers(of_pictures: str, files: list[Path], browser: Browser):
    with opened(browser, of_pictures) as page:
        with page.expect_response("**/predict"):
            page.get_by_label("Image", exact=True).set_input_files(files[:2])
        shots = page.locator(".shot")
        expect(shots.locator(".said")).to_have_count(2)
        expect(page.get_by_text("Chosen: 2 files.")).to_be_visible()
        for shot, name in zip(shots.all(), ("wide.png", "small.jpg"), strict=True):
            assert shot.locator("img").evaluate("each => each.complete && each.naturalWidth > 0")
            assert shot.get_by_text(name).is_visible()
            expect(shot.locator(".bars li")).to_have_count(5)
        page.get_by_role("switch", name="Raw JSON").check()
        assert json.loads(page.locator("#json").inner_text())["files"] == ["wide.png", "small.jpg"]
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert faults(page) == []


def test_an_example_picture_is_answered_and_the_keyboard_reaches_all(of_pictures: str, browser: Browser):
    with opened(browser, of_pictures) as page:
        page.get_by_role("button", name="Predict").click()
        expect(page.get_by_role("alert")).to_have_text("Choose a picture first.")
        expect(page.get_by_label("Image", exact=True)).to_be_focused()
        page.get_by_role("button", name="Example 2").focus()
        with page.expect_response("**/predict") as caught:
            page.keyboard.press("Enter")
        assert caught.value.json()["files"] == ["Example 2"]
        expect(page.locator(".shot .said")).to_have_text(caught.value.json()["predictions"][0]["label"])
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Image", exact=True)).to_be_focused()
        assert faults(page) == []


DROP = """content => {
  const carried = new DataTransfer();
  carried.items.add(new File([Uint8Array.from(content)], "dropped.png"));
  for (const name of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(name, {dataTransfer: carried, bubbles: true, cancelable: true}));
  }
}"""


def test_a_dropped_picture_is_answered(of_pictures: str, files: list[Path], browser: Browser):
    with opened(browser, of_pictures) as page:
        with page.expect_response("**/predict") as caught:
            page.evaluate(DROP, list(files[0].read_bytes()))
        assert caught.value.json()["files"] == ["dropped.png"]
        expect(page.locator(".shot")).to_contain_text("dropped.png")


def test_a_broken_picture_has_no_others_fail(of_pictures: str, files: list[Path], browser: Browser):
    with browser.new_context(viewport=WIDE) as context:
        page = context.new_page()
        page.goto(of_pictures)
        page.get_by_label("Image", exact=True).set_input_files(files)
        expect(page.locator(".said")).to_have_count(2)
        expect(page.get_by_role("alert")).to_have_text("The picture notes.png is not a picture that Pillow can read.")
        assert faults(page) == []


def test_the_keyboard_does_all_and_shows_where_it_is(address, browser: Browser):
    with opened(browser, address("question_answering")) as page:
        seen = []
        for _ in range(8):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            seen.append(focused.get_attribute("id") or focused.inner_text()[:7])
            assert focused.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
        assert [name for name in seen if name[0].islower()] == ["question", "context", "raw"]
        assert seen[-3:] == ["Options", "Predict", "raw"]
        page.get_by_label("Question").focus()
        with page.expect_response("**/predict"):
            page.keyboard.press("Control+Enter")
        expect(page.get_by_role("heading", name="Answers")).to_be_visible()
        assert page.locator("#answer").get_attribute("aria-live") == "polite"


def test_a_mistake_is_a_sentence_where_it_can_be_mended(address, browser: Browser):
    with opened(browser, address("sequence_classification")) as page:
        wrong = page.get_by_role("alert")
        page.get_by_label("Text", exact=True).fill("  ")
        page.get_by_role("button", name="Predict").click()
        expect(wrong).to_have_text("Write something into the field “Text” first.")
        expect(page.get_by_label("Text", exact=True)).to_be_focused()
        assert faults(page) == []
        click(page)
        expect(wrong).to_have_count(0)


REFUSED = "Failed to load resource"  # the browser's own message, whatever the page then says


def refused(address: str, browser: Browser, do: Any) -> str:
    """Do something that the server refuses; gives what the page says of it."""
    with browser.new_context(viewport=WIDE) as context:
        page = context.new_page()
        page.on("console", lambda message: REFUSED in message.text or pytest.fail(message.text))
        page.goto(address)
        do(page)
        said = page.get_by_role("alert")
        expect(said).to_be_visible()
        assert faults(page) == []
        return said.inner_text()


def send(page: Page) -> None:
    page.get_by_role("button", name="Predict").click()


def fill_text(page: Page) -> None:
    page.get_by_label("Text", exact=True).fill("nothing is hidden")
    send(page)


def set_option(page: Page) -> None:
    page.get_by_text("Options").click()
    page.get_by_label("Threshold").fill("much")
    send(page)


def go_away(page: Page) -> None:
    page.route("**/predict", lambda route: route.abort())
    send(page)


@pytest.mark.parametrize(
    ("kind", "do", "said"),
    [
        ("masked_lm", fill_text, "The text 'nothing is hidden' has no '<mask>', so there is nothing to fill."),
        ("several labels", set_option, "Threshold: Input should be a valid number."),
        ("several labels", go_away, "The server does not answer. See whether `blurr serve` is still running."),
    ],
    ids=["of an item", "of an option", "of the server"],
)
def test_a_refusal_is_a_sentence(kind: str, do: Any, said: str, address, browser: Browser):
    assert refused(address(kind), browser, do) == said


def test_a_token_is_asked_for_and_used(serve, saved, browser: Browser):
    address = serve(saved("sequence_classification")[1], token="secret")

    def give_none(page: Page) -> None:
        send(page)
        expect(page.get_by_label("Token of this server")).to_be_focused()

    def give_a_wrong_one(page: Page) -> None:
        page.get_by_label("Token of this server").fill("wrong")
        send(page)

    assert refused(address, browser, give_none) == "This server needs a token. Type it in below."
    wrong = "The token is wrong. Type it into the field “Token of this server”."
    assert refused(address, browser, give_a_wrong_one) == wrong
    with opened(browser, address) as page:
        page.get_by_label("Token of this server").fill("secret")
        assert click(page)["label"] in page.locator("#answer").inner_text()


def test_places_are_counted_in_characters_and_texts_may_read_from_the_right(address, browser: Browser):
    with opened(browser, address("token_classification")) as page:
        page.get_by_label("Text").fill("🎬🎬 שלום good <b>film</b>")
        with page.expect_response("**/predict") as caught:
            page.keyboard.press("Control+Enter")
        words = [each["word"] for each in caught.value.json()["predictions"][0]]
        marks = page.locator("#answer mark")
        expect(marks).to_have_count(len(words))
        own = "marks => marks.map(mark => mark.firstChild.textContent)"
        assert marks.evaluate_all(own) == words
        page.get_by_label("Text").fill("שלום good")
        for part in (page.get_by_label("Text"), page.locator("#answer .text")):
            assert part.get_attribute("dir") == "auto"
        assert page.get_by_label("Text").evaluate("each => getComputedStyle(each).direction") == "rtl"


def test_a_page_may_run_and_load_nothing_but_its_own(address, saved):
    for path in ("/", "/docs"):
        answer = httpx.get(address("sequence_classification") + path)
        policy = answer.headers["Content-Security-Policy"]
        assert {"default-src 'none'", "connect-src 'self'", "form-action 'none'"} <= set(policy.split("; "))
        assert "unsafe" not in policy
        assert not re.search(r'(src|href)="(https?:|//)', answer.text)


def test_the_page_that_says_how_to_call_it_can_be_read_and_copied(address, browser: Browser):
    where = address("sequence_classification")
    allowed = ["clipboard-read", "clipboard-write"]
    with opened(browser, f"{where}/docs", permissions=allowed) as page:
        page.get_by_role("button", name="Copy for the command line").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()").startswith(f"curl {where}/predict -H ")
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert faults(page) == []


@pytest.mark.parametrize(
    ("kind", "answer", "said"),
    [
        ("a number", {"mine": 1}, "This task's answers are shown as JSON."),
        ("question_answering", {"answer": None, "start": None, "end": None, "score": 0.9}, "There is no answer in the"),
        ("token_classification", [], "There is no entity."),
        ("several labels", {"labels": [], "class_indices": [], "class_labels": ["a"], "probs": [0.2]}, "No label is"),
        ("translation", {"translation_texts": ["one", "two"]}, "Translation\n\ntwo"),
        ("causal_lm", {"generated_texts": ["one way", "another"]}, "another"),
    ],
    ids=["of a task of one's own", "no answer", "no entity", "no label", "two texts", "two continuations"],
)
def test_an_answer_that_is_rare_is_readable_too(kind: str, answer: Any, said: str, address, browser: Browser):
    with opened(browser, address(kind)) as page:
        page.route("**/predict", lambda route: route.fulfill(json={"predictions": [answer]}))
        click(page)
        assert said in page.locator("#answer").inner_text()
        assert page.locator("#json").is_visible() == ("mine" in answer)
        assert faults(page) == []
