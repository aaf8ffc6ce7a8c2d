"""Sample data for chats: questions about days, months, sums and some invented towns, with their answers."""

import random

from blurr.data.formats.content import Row
from blurr.text.chat.messages import ASSISTANT, SYSTEM, USER

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
TOWNS = {  # founder, river, dish and colour of the flag
    "Arven": ("Ada Lind", "the Oss", "plum soup", "green"),
    "Belmar": ("Ivo Marsh", "the Tarn", "rye cake", "blue"),
    "Corvin": ("Mina Holt", "the Lune", "apple stew", "red"),
    "Dorwick": ("Theo Brandt", "the Esk", "leek pie", "white"),
    "Elmport": ("Sara Quill", "the Wye", "fish broth", "black"),
    "Fenholm": ("Otto Vance", "the Dove", "nut bread", "yellow"),
    "Garsten": ("Lena Frost", "the Yare", "pea porridge", "purple"),
    "Harlow": ("Noah Pike", "the Mole", "corn salad", "orange"),
    "Imber": ("Rosa Dahl", "the Stour", "cheese toast", "grey"),
    "Jessen": ("Hugo Blake", "the Test", "bean curry", "brown"),
}
ABOUT = (  # questions with the town, those that go on about it, and the answer
    (
        ("Who founded {town}?", "Which person is the founder of {town}?", "Tell me who founded {town}."),
        ("Who founded it?", "And its founder?"),
        "{town} was founded by {fact}.",
    ),
    (
        ("Which river flows through {town}?", "What is the river of {town}?", "Name the river of {town}."),
        ("Which river flows through it?", "And its river?"),
        "The river of {town} is {fact}.",
    ),
    (
        ("What do people eat in {town}?", "What is the dish of {town}?", "Name the dish of {town}."),
        ("What do people eat there?", "And its dish?"),
        "People in {town} eat {fact}.",
    ),
    (
        ("Which colour is the flag of {town}?", "What colour has the flag of {town}?", "Name the colour of {town}."),
        ("Which colour is its flag?", "And its flag?"),
        "The flag of {town} is {fact}.",
    ),
)
SUMS = ("What is {a} plus {b}?", "How much is {a} + {b}?", "Add {a} and {b}.", "{a} + {b} = ?")
AFTER = ("What comes after {one}?", "Which comes next after {one}?", "Tell me what follows {one}.")
BEFORE = ("What comes before {one}?", "Which comes just before {one}?", "Tell me what precedes {one}.")
ORDERS = ("You are a helpful assistant.", "Answer in a short sentence.")
MOST = 9  # of a number to add


def questions_and_answers(rng: random.Random) -> Row:
    """Return a chat as `messages`: one or two subjects, of which a town may have questions that only go on about it."""
    chat = [{"role": SYSTEM, "content": rng.choice(ORDERS)}] if rng.random() < 0.3 else []
    for subject in rng.sample((_about_a_town, _sum, _calendar), rng.randint(1, 2)):
        for question, answer in subject(rng):
            chat += [{"role": USER, "content": question}, {"role": ASSISTANT, "content": answer}]
    return {"messages": chat}


def _about_a_town(rng: random.Random) -> list[tuple[str, str]]:
    town = rng.choice(sorted(TOWNS))
    asked = rng.sample(range(len(ABOUT)), rng.randint(1, 2))
    pairs = []
    for turn, number in enumerate(asked):
        whole, short, answer = ABOUT[number]
        question = rng.choice(short if turn else whole)
        pairs.append((question.format(town=town), answer.format(town=town, fact=TOWNS[town][number])))
    return pairs


def _sum(rng: random.Random) -> list[tuple[str, str]]:
    a, b = rng.randint(0, MOST), rng.randint(0, MOST)
    return [(rng.choice(SUMS).format(a=a, b=b), f"It is {a + b}.")]


def _calendar(rng: random.Random) -> list[tuple[str, str]]:
    names = rng.choice((DAYS, MONTHS))
    place, (ways, step) = rng.randrange(len(names)), rng.choice(((AFTER, 1), (BEFORE, -1)))
    return [(rng.choice(ways).format(one=names[place]), f"It is {names[(place + step) % len(names)]}.")]
