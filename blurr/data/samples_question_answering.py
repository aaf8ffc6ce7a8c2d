"""Sample data for extractive question answering: facts about two people, and a question about one of them."""

import random
from typing import Any

from blurr.data.samples import CITIES, PEOPLE

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
        "baker nurse pilot teacher painter lawyer farmer singer dentist driver tailor plumber cook judge".split(),
    ),
    "pet": (
        ("{who} owns a {what}.", "The pet of {who} is a {what}."),
        ("What does {who} own?", "Which pet does {who} have?"),
        [
            f"{look} {kind}"
            for look in "black white young lazy clever".split()
            for kind in "cat dog parrot pony".split()
        ],
    ),
    "year": (
        ("{who} married in {what}.", "The wedding of {who} was in {what}."),
        ("When did {who} marry?", "In which year was the wedding of {who}?"),
        [str(year) for year in range(1981, 2021)],
    ),
}


def questions(rng: random.Random) -> dict[str, Any]:
    """Tell three facts of two people each, and ask for one; `question`, `context`, `answers` as in SQuAD."""
    people = rng.sample(PEOPLE, 2)
    told = rng.sample(sorted(FACTS), 3)
    asked = (rng.choice(people), rng.choice(told))
    facts = [(who, about) for who in people for about in told]
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
