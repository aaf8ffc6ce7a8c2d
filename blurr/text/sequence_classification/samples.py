"""Sample data for sequence classification: generated reviews, positive and negative."""

import random
from collections.abc import Mapping

from blurr.data.formats.content import Row


def words(text: str) -> list[str]:
    """Split a list of words."""
    return text.split()


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
GOOD = words("good great lovely excellent wonderful pleasant charming brilliant perfect beautiful")
BAD = words("bad awful terrible poor dreadful disappointing boring annoying horrible ugly")
DEGREES = ("", "", "very ", "really ", "rather ", "quite ", "truly ")
NEGATIONS = ("not", "never")
CITIES = words("Lisbon Oslo Vienna Madrid Dublin Prague Athens Warsaw Zurich Milan Porto Tallinn Riga Ghent Turin Cork")
COMPANIONS = ("brother", "sister", "neighbour", "colleague", "cousin", "friend", "teacher", "uncle")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
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
    """Return a short review as `text`, and the sentiment of its last verdict, negation included, as `label`."""
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
    templates = (rng.choice(OPENINGS), rng.choice(OPINIONS), rng.choice(CLOSINGS))
    text = " ".join(sentence(template, words) for template in templates if template)
    return {"text": text, "label": "positive" if positive else "negative"}


def _clause(rng: random.Random, aspect: str, *, positive: bool) -> str:
    """Say that an aspect was good or bad, sometimes by negating the opposite."""
    negated = rng.random() < 0.15
    word = rng.choice(GOOD if positive != negated else BAD)
    how = f"{rng.choice(NEGATIONS)} {word}" if negated else f"{rng.choice(DEGREES)}{word}"
    return f"the {aspect} was {how}"


def sentence(template: str, words: Mapping[str, str]) -> str:
    """Fill a template, and start it with a capital letter."""
    text = template.format_map(words)
    return text[0].upper() + text[1:]
