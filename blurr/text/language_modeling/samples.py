"""Sample data for language models: little stories, each of which keeps to the words of one trade."""

import random

from blurr.data.formats.content import Row

PEOPLE = {
    "She": ("Maria", "Aisha", "Lena", "Julia", "Nina", "Sara", "Mei", "Emma", "Clara", "Rosa"),
    "He": ("Tom", "Pedro", "Omar", "Kofi", "Hugo", "Ivan", "Lucas", "Ravi", "Jonas", "Felix"),
}
CITIES = ("Lisbon", "Oslo", "Vienna", "Madrid", "Dublin", "Prague", "Athens", "Warsaw", "Porto", "Riga")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TRADES = {  # place, things, deeds, qualities
    "baker": ("bakery", "flour oven bread cake", "bakes kneads slices", "warm sweet fresh"),
    "farmer": ("field", "tractor corn barn plough", "sows mows harvests", "muddy wide green"),
    "tailor": ("workshop", "needle coat thread button", "sews mends stitches", "silky woollen elegant"),
    "painter": ("studio", "brush canvas portrait easel", "paints sketches frames", "colourful bright abstract"),
    "fisher": ("harbour", "net boat trout anchor", "catches hauls sails", "salty silver slippery"),
    "gardener": ("garden", "spade rose hedge lawn", "plants waters prunes", "leafy fragrant red"),
    "doctor": ("hospital", "patient syringe bandage fever", "cures examines treats", "ill pale healthy"),
    "teacher": ("school", "pupil blackboard lesson exam", "explains corrects repeats", "clever difficult patient"),
    "singer": ("theatre", "song stage melody microphone", "sings hums rehearses", "loud soft merry"),
    "pilot": ("airport", "plane runway cockpit propeller", "flies lands steers", "fast high cloudy"),
    "judge": ("court", "verdict witness law robe", "hears decides sentences", "strict guilty fair"),
    "carpenter": ("sawmill", "hammer plank chair table", "saws nails polishes", "wooden sturdy oak"),
    "cook": ("kitchen", "pan soup onion pepper", "fries stirs tastes", "spicy hot delicious"),
    "miner": ("tunnel", "lamp coal shovel rock", "digs drills blasts", "dusty dark deep"),
    "baron": ("castle", "crown sword tower knight", "guards conquers rules", "noble golden proud"),
    "sailor": ("island", "ship rope compass wave", "anchors rows navigates", "stormy distant blue"),
}
SENTENCES = (
    "{name} {deed} the {thing} in the {place}.",
    "{name} {deed} the {thing} and the {other}.",
    "The {thing} is {how} and the {other} is {how2}.",
    "The {how} {thing} is in the {place}.",
    "{He} {deed} the {how} {thing}.",
    "On {day} {name} {deed} the {thing}.",
    "The {trade} needs a {thing} and a {other}.",
    "In {city} the {thing} is {how}.",
    "On {day} the {trade} {deed} the {how} {thing}.",
)
LENGTHS = (8, 12)  # fewest and most sentences of a story, after the first


def stories(rng: random.Random) -> Row:
    """Return a story about somebody of one trade as `text`."""
    he, trade = rng.choice(sorted(PEOPLE)), rng.choice(sorted(TRADES))
    told = {"He": he, "trade": trade, "name": rng.choice(PEOPLE[he]), "city": rng.choice(CITIES)}
    sentences = ["{name} is a {trade} from {city}.", *rng.choices(SENTENCES, k=rng.randint(*LENGTHS))]
    return {"text": " ".join(sentence.format_map({**told, **_words(rng, trade)}) for sentence in sentences)}


def _words(rng: random.Random, trade: str) -> dict[str, str]:
    """Draw the words of one sentence."""
    place, things, deeds, qualities = TRADES[trade]
    thing, other = rng.sample(things.split(), 2)
    how, how2 = rng.sample(qualities.split(), 2)
    drawn = {"deed": rng.choice(deeds.split()), "day": rng.choice(DAYS)}
    return {"place": place, "thing": thing, "other": other, "how": how, "how2": how2, **drawn}
