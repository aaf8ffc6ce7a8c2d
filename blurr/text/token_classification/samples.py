"""Sample data for token classification: sentences whose names only their context identifies."""

import random

from blurr.data.formats.content import Row

# Names consist of random syllables, so most names of the validation rows are in no training row, and a name may be
# that of a person, a place or an organisation: only the words around it tell which.
STARTS = ("Ka", "Lo", "Mi", "Ra", "Te", "Vo", "Be", "Sa", "Du", "No", "Fe", "Gri", "Pa", "Ju", "Hel", "Zan")
MIDDLES = ("", "", "ri", "la", "ne", "mo", "ti", "so", "du", "ve")
ENDS = ("n", "ra", "s", "to", "lia", "den", "mar", "k", "vik", "no", "ston", "ga")
TEMPLATES = (
    "{per} lives in {loc} .",
    "yesterday {per} flew from {loc} to {loc} .",
    "{org} hired {per} as its new director .",
    "the offices of {org} are in {loc} .",
    "{per} , who was born in {loc} , now works for {org} .",
    "shares of {org} fell after a report from {loc} .",
    "we met {per} and {per} near {loc} .",
    "{org} bought the rival {org} last week .",
    "nobody in {loc} had heard of {org} before .",
    "according to {per} , the weather in {loc} was fine .",
    "the letter that {per} wrote to {org} was lost .",
    "the train to {loc} was late and nobody complained .",
    "it rained all day and the match was put off .",
    "a friend of {per} opened a small shop in {loc} .",
)


def tagged_sentences(rng: random.Random) -> Row:
    """Return the words of a sentence as `tokens`, and their `labels`: O, or B- and I- of PER, LOC and ORG."""
    tokens: list[str] = []
    labels: list[str] = []
    for word in rng.choice(TEMPLATES).split():
        if word.startswith("{"):
            name = _name(rng, word)
            tokens += name
            labels += [f"{'I' if i else 'B'}-{word[1:-1].upper()}" for i in range(len(name))]
        else:
            tokens.append(word)
            labels.append("O")
    return {"tokens": tokens, "labels": labels}


def _name(rng: random.Random, kind: str) -> list[str]:
    """Draw a name of one or two words; some organisations add what they are."""
    words = [rng.choice(STARTS) + rng.choice(MIDDLES) + rng.choice(ENDS) for _ in range(rng.choice((1, 1, 2)))]
    if kind == "{org}" and rng.random() < 0.3:
        words.append(rng.choice(("Bank", "Motors", "University")))
    return words
