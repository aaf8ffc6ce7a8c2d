"""Generate sample data for every task: seeded, made in a second, learnable from scratch, and without a network."""

import random
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import datasets

from blurr.config.annotations import Count, Fraction, Seed
from blurr.data.core import Columns, RawData, Schema, raw_data
from blurr.errors import InputError

Row = dict[str, Any]

# Draws without a new row before the generator counts as exhausted.
PATIENCE = 1000


def load_samples(
    schema: Schema,
    *,
    rows: Count | None = None,
    valid: Fraction = 0.2,
    seed: Seed = 42,
    columns: Columns | None = None,
    limit: Count | None = None,
) -> RawData:
    """Generate rows for a task; no input stands in both splits.

    Args:
        schema: What the task wants of its rows; its `sample` makes one row.
        rows: How many rows to make for all splits together; None for as many as the task is learned from.
        valid: Share of the rows that are for validation.
        seed: The same seed gives the same rows, on any machine.
        columns: Role to column; the generated columns carry the names of their roles.
        limit: Rows per split to keep, drawn at random.

    Returns:
        The rows as the splits `train` and `valid`.

    Raises:
        InputError: When the generator knows fewer different rows than asked for, or a split would be empty.
    """
    rows = schema.sample_rows if rows is None else rows
    made = different_rows(schema.sample, rows, seed=seed, label=schema.label)
    cut = rows - round(rows * valid)
    if cut in (0, rows):
        raise InputError(
            f"data.rows={rows} with data.valid={valid} leaves {cut} rows for training and {rows - cut} for "
            "validation. Both need at least one; raise data.rows or change data.valid."
        )
    splits = {"train": datasets.Dataset.from_list(made[:cut]), "valid": datasets.Dataset.from_list(made[cut:])}
    return raw_data(splits, schema, columns=columns, source="sample", limit=limit, seed=seed)


@lru_cache(maxsize=4)  # the trials of a sweep are forked from a process that has made them
def different_rows(make: Callable[[random.Random], Row], count: int, *, seed: int, label: str | None) -> list[Row]:
    """Draw rows until `count` of them differ in what the model sees, that is, in all but the label."""
    rng = random.Random(seed)
    rows: dict[str, Row] = {}
    idle = 0
    while len(rows) < count:
        row = make(rng)
        key = repr([value for role, value in sorted(row.items()) if role != label])
        idle = idle + 1 if key in rows else 0
        if idle > PATIENCE:
            raise InputError(
                f"The sample data of this task has only about {len(rows)} different rows; lower data.rows={count}."
            )
        rows.setdefault(key, row)
    return list(rows.values())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# --- reviews: the sentiment follows from how a sentence is built, not from one word in it ---

SUBJECTS = {
    "hotel": ("room", "breakfast", "service", "bed", "view", "pool"),
    "film": ("plot", "acting", "music", "ending", "dialogue", "opening"),
    "phone": ("battery", "screen", "camera", "sound", "design", "keyboard"),
    "restaurant": ("soup", "dessert", "service", "wine", "menu", "terrace"),
    "book": ("story", "style", "cover", "translation", "ending", "opening"),
    "course": ("teacher", "material", "homework", "pace", "exam", "classroom"),
    "train": ("seat", "coffee", "timetable", "window", "crew", "carriage"),
    "museum": ("guide", "entrance", "garden", "tour", "shop", "exhibition"),
}
GOOD = _words("good great lovely excellent wonderful pleasant charming brilliant perfect beautiful")
BAD = _words("bad awful terrible poor dreadful disappointing boring annoying horrible ugly")
DEGREES = ("", "", "very ", "really ", "rather ", "quite ", "truly ")
NEGATIONS = ("not", "never")
CITIES = _words(
    "Lisbon Oslo Vienna Madrid Dublin Prague Athens Warsaw Zurich Milan Porto Tallinn Riga Ghent Turin Cork"
)
COMPANIONS = ("brother", "sister", "neighbour", "colleague", "cousin", "friend", "teacher", "uncle")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
OPENINGS = (
    "We tried the {subject} in {city} on a {day}.",
    "My {friend} told me about this {subject}.",
    "This is about the {subject} from {city}.",
    "I came across the {subject} last {day}.",
    "It was my second {subject} this year.",
    "A {subject} for the long way home from {city}.",
)
CLOSINGS = (
    "",
    "",
    "My {friend} from {city} came along.",
    "We were back by {day}.",
    "I paid for it in {city}.",
    "That was on {day}.",
)
OPINIONS = (
    "{verdict}.",
    "{verdict}.",
    "I found that {verdict}.",
    "We all agreed that {verdict}.",
    "{verdict}, and {support}.",
    "I think that {verdict}, and that {support}.",
    "Yes, {verdict}, and {support}.",
    "{contrary}, but {verdict}.",
    "Although {contrary}, {verdict}.",
    "My {friend} said that {contrary}, but for me {verdict}.",
    "I was told that {contrary}, but no, {verdict}.",
    "While {contrary}, still {verdict}.",
)


def reviews(rng: random.Random) -> Row:
    """Write a short review with the sentiment of its last verdict, negation included; `text` and `label`."""
    positive = rng.random() < 0.5
    subject = rng.choice(sorted(SUBJECTS))
    verdict, support, contrary = rng.sample(SUBJECTS[subject], 3)
    words = {
        "subject": subject,
        "city": rng.choice(CITIES),
        "day": rng.choice(DAYS),
        "friend": rng.choice(COMPANIONS),
        "verdict": _clause(rng, verdict, positive=positive),
        "support": _clause(rng, support, positive=positive),
        "contrary": _clause(rng, contrary, positive=not positive),
    }
    sentences = (rng.choice(OPENINGS), rng.choice(OPINIONS), rng.choice(CLOSINGS))
    text = " ".join(_sentence(template, words) for template in sentences if template)
    return {"text": text, "label": "positive" if positive else "negative"}


def _clause(rng: random.Random, aspect: str, *, positive: bool) -> str:
    """Say that an aspect was good or bad: at times by the negation of its opposite."""
    negated = rng.random() < 0.15
    word = rng.choice(GOOD if positive != negated else BAD)
    how = f"{rng.choice(NEGATIONS)} {word}" if negated else f"{rng.choice(DEGREES)}{word}"
    return f"the {aspect} was {how}"


def _sentence(template: str, words: Mapping[str, str]) -> str:
    text = template.format_map(words)
    return text[0].upper() + text[1:]


# --- meeting notes: the summary takes four facts from among sentences that hold others of the same kind ---

PEOPLE = _words(
    "Maria Tom Aisha Pedro Lena Omar Julia Kofi Nina Hugo Sara Ivan Mei Lucas Emma Ravi Clara Jonas Ada Felix "
    "Rosa Karim Ines Paul"
)
DEEDS = _words("present review translate print prepare check rewrite order paint test install collect")
THINGS = _words(
    "budget contract website brochure report catalogue timetable poster survey heating archive newsletter "
    "schedule workshop invoice manual"
)
TEAMS = _words("sales garden finance design kitchen travel support press")
DECISIONS = (
    "After a long talk it was decided that {who} will {deed} the {thing}.",
    "In the end everybody agreed that {who} should {deed} the {thing}.",
    "The main result is that {who} is going to {deed} the {thing}.",
    "The vote was clear and now {who} has to {deed} the {thing}.",
)
PLACES = (
    "The work will be done in {city}.",
    "All of this takes place in {city}.",
    "For this a desk was booked in {city}.",
)
DATES = (
    "It must be finished by {day}.",
    "The deadline for it is {day}.",
    "Everything has to be ready by {day}.",
)
ASIDES = (
    "{who} could not come and sent a short note from {city}.",
    "{who} asked about the {thing}, but nobody had an answer.",
    "The {thing} was praised by {who} and then put aside.",
    "{who} is on holiday in {city} until {day}.",
    "Somebody had left the {thing} in the train to {city}.",
    "{who} and the visitor from {city} arrived late.",
    "The idea to {deed} the {thing} was dropped at once.",
    "There was cake because {who} had a birthday on {day}.",
)


def meeting_notes(rng: random.Random) -> Row:
    """Write the notes of a meeting, and what was decided: who does what, where, by when; `text` and `summary`."""
    who, city, day, deed, thing = (rng.sample(kind, 3) for kind in (PEOPLE, CITIES, DAYS, DEEDS, THINGS))
    facts = [
        {"who": w, "city": c, "day": d, "deed": v, "thing": t}
        for w, c, d, v, t in zip(who, city, day, deed, thing, strict=True)
    ]
    told = [_sentence(rng.choice(part), facts[0]) for part in (DECISIONS, PLACES, DATES)]
    asides = [_sentence(template, fact) for template, fact in zip(rng.sample(ASIDES, 2), facts[1:], strict=True)]
    start = f"The {rng.choice(TEAMS)} team met on {rng.choice(DAYS)} morning in {rng.choice(CITIES)}."
    text = " ".join([start, *_shuffled_in(rng, told, asides)])
    summary = "{who} will {deed} the {thing} in {city} by {day}.".format_map(facts[0])
    return {"text": text, "summary": summary}


def _shuffled_in(rng: random.Random, kept: list[str], others: list[str]) -> list[str]:
    """Put the other sentences at random places between those whose order is kept."""
    mixed = list(kept)
    for sentence in others:
        mixed.insert(rng.randrange(len(mixed) + 1), sentence)
    return mixed
