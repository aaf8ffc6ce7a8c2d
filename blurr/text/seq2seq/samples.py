"""Sample data: generated notes of meetings with their summaries, and German sentences with their translations."""

import random

from blurr.data.formats.content import Row
from blurr.text.sequence_classification.samples import CITIES, DAYS, sentence, words

# -- summarization: notes of meetings

NAMES = words(
    "Maria Tom Aisha Pedro Lena Omar Julia Kofi Nina Hugo Sara Ivan Mei Lucas Emma Ravi Clara Jonas Ada Felix "
    "Rosa Karim Ines Paul"
)
DEEDS = words("present review translate print prepare check rewrite order paint test install collect")
TOPICS = words(
    "budget contract website brochure report catalogue timetable poster survey heating archive newsletter "
    "schedule workshop invoice manual"
)
TEAMS = words("sales garden finance design kitchen travel support press")
DECISIONS = (
    "After a long talk it was decided that {who} will {deed} the {thing}.",
    "In the end everybody agreed that {who} should {deed} the {thing}.",
    "The main result is that {who} is going to {deed} the {thing}.",
    "The vote was clear and now {who} has to {deed} the {thing}.",
)
WHERE = (
    "The work will be done in {city}.",
    "All of this takes place in {city}.",
    "For this a desk was booked in {city}.",
)
WHEN = (
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
    """Return the notes of a meeting as `text`, and what was decided (who does what, where, by when) as `summary`."""
    who, city, day, deed, thing = (rng.sample(kind, 3) for kind in (NAMES, CITIES, DAYS, DEEDS, TOPICS))
    facts = [
        {"who": w, "city": c, "day": d, "deed": v, "thing": t}
        for w, c, d, v, t in zip(who, city, day, deed, thing, strict=True)
    ]
    told = [sentence(rng.choice(part), facts[0]) for part in (DECISIONS, WHERE, WHEN)]
    asides = [sentence(template, fact) for template, fact in zip(rng.sample(ASIDES, 2), facts[1:], strict=True)]
    start = f"The {rng.choice(TEAMS)} team met on {rng.choice(DAYS)} morning in {rng.choice(CITIES)}."
    text = " ".join([start, *_mixed_in(rng, told, asides)])
    summary = "{who} will {deed} the {thing} in {city} by {day}.".format_map(facts[0])
    return {"text": text, "summary": summary}


def _mixed_in(rng: random.Random, kept: list[str], others: list[str]) -> list[str]:
    """Insert the other sentences at random places; those of `kept` stay in order."""
    mixed = list(kept)
    for each in others:
        mixed.insert(rng.randrange(len(mixed) + 1), each)
    return mixed


# -- translation: sentences of a small grammar

PEOPLE = [
    ("Anna", "Anna"),
    ("Jonas", "Jonas"),
    ("die Lehrerin", "the teacher"),
    ("der Nachbar", "the neighbour"),
    ("das Kind", "the child"),
    ("der Koch", "the cook"),
    ("die Ärztin", "the doctor"),
    ("mein Bruder", "my brother"),
]
VERBS = [
    ("kauft", "buys"),
    ("liest", "reads"),
    ("malt", "paints"),
    ("sucht", "seeks"),
    ("findet", "finds"),
    ("bringt", "brings"),
    ("verkauft", "sells"),
]
# after a verb the article of a masculine noun changes
THINGS = [
    ("den", "Apfel", "apple"),
    ("den", "Brief", "letter"),
    ("den", "Tisch", "table"),
    ("die", "Lampe", "lamp"),
    ("die", "Zeitung", "newspaper"),
    ("das", "Buch", "book"),
    ("das", "Bild", "picture"),
    ("das", "Fahrrad", "bicycle"),
]
COLOURS = [("roten", "rote", "red"), ("alten", "alte", "old"), ("kleinen", "kleine", "small"), ("neuen", "neue", "new")]
TIMES = [("heute", "today"), ("am Montag", "on Monday"), ("am Abend", "in the evening"), ("oft", "often")]
PLACES = [
    ("im Garten", "in the garden"),
    ("in Berlin", "in Berlin"),
    ("am Fluss", "at the river"),
    ("auf dem Markt", "at the market"),
    ("in der Schule", "at school"),
]


def sentences(rng: random.Random) -> Row:
    """Return a German sentence as `source`, and its English translation as `target`.

    Word order differs: the German time stands before the object, or first, which pushes the subject behind the verb;
    the English time stands last.
    """
    who, who_en = rng.choice(PEOPLE)
    verb, verb_en = rng.choice(VERBS)
    article, thing, thing_en = rng.choice(THINGS)
    after_den, after_other, colour_en = rng.choice(COLOURS)
    time, time_en = rng.choice(TIMES)
    place, place_en = rng.choice(PLACES)
    object_de = f"{article} {after_den if article == 'den' else after_other} {thing}"
    start = f"{time} {verb} {who}" if rng.random() < 0.25 else f"{who} {verb} {time}"
    source = f"{start} {object_de} {place}."
    target = f"{who_en} {verb_en} the {colour_en} {thing_en} {place_en} {time_en}."
    return {"source": source[0].upper() + source[1:], "target": target[0].upper() + target[1:]}
