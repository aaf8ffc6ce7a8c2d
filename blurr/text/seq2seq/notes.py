"""Generated notes of meetings, with their summaries."""

import random

from blurr.data.samples import Row
from blurr.text.sequence_classification.samples import CITIES, DAYS, _sentence, _words

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
