"""Generate pairs of German and English sentences of a small grammar, to learn to translate from."""

import random

Row = dict[str, object]

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
    """Make one German sentence and its English translation.

    The order of the words differs: a German time may come first and push the subject behind the verb, and stands before
    the object, where English has it last.

    Returns:
        `source` in German and `target` in English.
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
