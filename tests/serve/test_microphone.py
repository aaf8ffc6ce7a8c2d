"""The page of a model of sounds: files and the microphone are heard, played and answered."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import NARROW, WIDE, chromium, faults, opened
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.slow  # a server and a browser, in real time
BEEPS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PLAYS = """async player => {
  player.volume = 0;
  await player.play();
  return player.duration;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(*BEEPS) as started:
        yield started


@pytest.fixture(scope="module")
def address(serve, sounds) -> str:
    return serve(sounds[1])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Give two sounds, and a file that is none."""
    made = [tmp_path / name for name in ("low.wav", "high.ogg", "notes.wav")]
    for path, hertz in zip(made[:2], (200, 900), strict=True):
        soundfile.write(path, 0.4 * np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000), 16_000)
    made[2].write_text("no sound")
    return made


WATCH = """() => {
  const send = window.fetch;
  window.fetch = async (where, options) => {
    const file = options.body.get("audio");
    window.sent = [...new Uint8Array(await file.arrayBuffer())];
    return send(where, options);
  };
}"""


def test_sounds_are_played_beside_their_answers(address: str, files: list[Path], browser: Browser):
    with opened(browser, address) as page:
        with page.expect_response("**/predict"):
            page.get_by_label("Audio", exact=True).set_input_files(files[:2])
        shots = page.locator(".shot")
        expect(shots.locator(".said")).to_have_count(2)
        for shot, name in zip(shots.all(), ("low.wav", "high.ogg"), strict=True):
            assert shot.locator("audio").evaluate(PLAYS) == pytest.approx(1, abs=0.05)
            assert shot.get_by_text(name).is_visible()
            expect(shot.locator(".bars li")).to_have_count(2)
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert faults(page) == []


def test_what_the_microphone_hears_is_sent_as_wav_played_and_answered(address: str, browser: Browser):
    with opened(browser, address, permissions=["microphone"]) as page:
        page.evaluate(WATCH)
        page.get_by_role("button", name="Record").click()
        expect(page.get_by_role("button", name=re.compile(r"^Stop and predict \(1 s\)"))).to_be_visible()
        assert faults(page) == []
        with page.expect_response("**/predict") as caught:
            page.get_by_role("button", name=re.compile("^Stop and predict")).click()
        assert caught.value.json()["files"] == ["Recording 1.wav"]
        expect(page.locator(".shot .said")).to_have_count(1)
        heard, rate = soundfile.read(io.BytesIO(bytes(page.evaluate("window.sent"))))
        assert (heard.ndim, rate) == (1, 48_000)
        assert 0.5 < len(heard) / rate < 5
        assert np.abs(heard).max() > 0.01  # the browser's own beeps
        assert page.locator(".shot audio").evaluate(PLAYS) == pytest.approx(len(heard) / rate, abs=0.05)
        assert page.get_by_role("button", name="Record").is_visible()


def test_a_recording_of_a_phone_is_sent_as_wav(address: str, browser: Browser):
    """The browser records WebM, as phones do; a server cannot read it."""
    record = """async () => {
      const context = new AudioContext(), tone = context.createOscillator();
      const end = context.createMediaStreamDestination();
      tone.connect(end);
      tone.start();
      const recorder = new MediaRecorder(end.stream), parts = [];
      recorder.ondataavailable = event => parts.push(event.data);
      const stopped = new Promise(done => { recorder.onstop = done; });
      recorder.start();
      setTimeout(() => recorder.stop(), 600);
      await stopped;
      const carried = new DataTransfer();
      carried.items.add(new File(parts, "memo.webm"));
      document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true}));
    }"""
    with opened(browser, address) as page:
        with page.expect_response("**/predict") as caught:
            page.evaluate(record)
        assert caught.value.json()["files"] == ["memo.webm"]
        expect(page.locator(".shot .said")).to_have_count(1)


def test_a_broken_sound_has_no_others_fail(address: str, files: list[Path], browser: Browser):
    with browser.new_context(viewport=WIDE) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Audio", exact=True).set_input_files(files)
        expect(page.locator(".said")).to_have_count(2)
        expect(page.get_by_role("alert")).to_have_text(
            "The sound notes.wav is not a sound that libsndfile can read (wav, flac, ogg, opus, mp3)."
        )
        assert faults(page) == []


SAID = {"transcript": "one two", "segments": [{"start": 0, "text": "one"}, {"start": 0.4, "text": "two"}]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [(SAID, "one two"), ({"transcript": "", "segments": []}, "Nothing is said.")],
    ids=["words", "none"],
)
def test_a_transcript_is_read_and_a_time_in_it_plays_the_sound_from_there(
    answer: dict[str, Any], said: str, address: str, files: list[Path], browser: Browser
):
    with opened(browser, address) as page:
        page.route("**/predict", lambda route: route.fulfill(json={"predictions": [answer], "files": ["low.wav"]}))
        page.get_by_label("Audio", exact=True).set_input_files(files[:1])
        expect(page.locator("#answer .text")).to_have_text(said)
        assert faults(page) == []
        if len(answer["segments"]) > 1:
            player = page.locator(".shot audio")
            player.evaluate(PLAYS)
            player.evaluate("player => player.pause()")
            page.get_by_role("button", name="Play from 0:00").last.click()
            assert player.evaluate("player => player.currentTime") >= 0.4


REFUSE = "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', NAME); }; }"
WITHOUT = "() => { Object.defineProperty(navigator, 'mediaDevices', {value: undefined}); }"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (REFUSE.replace("NAME", "'NotAllowedError'"), "The browser does not lend this page the microphone: allow it"),
        (REFUSE.replace("NAME", "'NotFoundError'"), "There is no microphone."),
        (WITHOUT, "A browser lends a microphone only to pages that come by https or from this machine."),
    ],
    ids=["refused", "none", "no https"],
)
def test_a_microphone_that_is_not_lent_has_a_sentence(script: str, said: str, address: str, browser: Browser):
    with opened(browser, address) as page:
        page.evaluate(script)
        page.get_by_role("button", name="Record").click()
        expect(page.get_by_role("status").filter(has_text=said)).to_be_visible()
        assert faults(page) == []
        assert page.get_by_role("button", name="Record").is_enabled()
