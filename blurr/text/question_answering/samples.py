"""Sample data for question answering: facts about two people, and a question about one of them."""

import random
from typing import Any

from blurr.data.formats.content import Row
from blurr.text.seq2seq.samples import NAMES
from blurr.text.sequence_classification.samples import CITIES

TRADES = "baker nurse pilot teacher painter lawyer farmer singer dentist tailor cook judge"
LOOKS, PETS = ("black", "white", "young", "lazy"), ("cat", "dog", "parrot", "pony")
# For each fact: the sentences that state it, the questions that ask for it, and the values that answer them.
FACTS = {
    "born": (
        ("{who} was born in {what}.", "{who} came into the world in {what}."),
        ("Where was {who} born?", "In which city was {who} born?"),
        CITIES,
    ),
    "lives": (
        ("{who} lives in {what} now.", "The house of {who} is in {what}."),
        ("Where does {who} live?", "In which city is the house of {who}?"),
        CITIES,
    ),
    "holiday": (
        ("{who} spends the summer in {what}.", "On holiday {who} goes to {what}."),
        ("Where does {who} spend the summer?", "Where does {who} go on holiday?"),
        CITIES,
    ),
    "work": (
        ("{who} earns a living as a {what}.", "At work {who} is a {what}."),
        ("What is the work of {who}?", "How does {who} earn a living?"),
        TRADES.split(),
    ),
    "pet": (
        ("{who} owns a {what}.", "The pet of {who} is a {what}."),
        ("What does {who} own?", "Which pet does {who} have?"),
        [f"{look} {pet}" for look in LOOKS for pet in PETS],
    ),
    "year": (
        ("{who} married in {what}.", "The wedding of {who} was in {what}."),
        ("When did {who} marry?", "In which year was the wedding of {who}?"),
        [str(year) for year in range(1981, 2021)],
    ),
}


def questions(rng: random.Random) -> Row:
    """Return `context` with facts about two people, `question` about the first, and `answers` as in SQuAD."""
    people = rng.sample(NAMES, 2)
    facts = [(who, about) for who, n in zip(people, (3, 2), strict=True) for about in rng.sample(sorted(FACTS), n)]
    asked = facts[0]
    rng.shuffle(facts)
    context = ""
    answers: dict[str, list[Any]] = {"text": [], "answer_start": []}
    for who, about in facts:
        sentences, _, values = FACTS[about]
        before, after = rng.choice(sentences).replace("{who}", who).split("{what}")
        what = rng.choice(values)
        if (who, about) == asked:
            answers = {"text": [what], "answer_start": [len(context) + len(before)]}
        context += f"{before}{what}{after} "
    question = rng.choice(FACTS[asked[1]][1]).replace("{who}", asked[0])
    return {"question": question, "context": context.strip(), "answers": answers}
