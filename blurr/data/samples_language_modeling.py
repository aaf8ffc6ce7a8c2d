"""Generate little stories of a small grammar, to learn a language from: what is told agrees with what was told before."""

import random
from typing import Any

PEOPLE = {
    "She": ("Maria", "Aisha", "Lena", "Julia", "Nina", "Sara", "Mei", "Emma", "Clara", "Rosa"),
    "He": ("Tom", "Pedro", "Omar", "Kofi", "Hugo", "Ivan", "Lucas", "Ravi", "Jonas", "Felix"),
}
HIS = {"She": "her", "He": "his"}
CITIES = ("Lisbon", "Oslo", "Vienna", "Madrid", "Dublin", "Prague", "Athens", "Warsaw", "Porto", "Riga")
WORK = {  # a trade: where it is done, with what, and what comes of it
    "baker": ("bakery", "oven", "fresh bread"),
    "teacher": ("school", "blackboard", "long lessons"),
    "doctor": ("hospital", "syringe", "good advice"),
    "farmer": ("field", "tractor", "sweet corn"),
    "tailor": ("workshop", "needle", "warm coats"),
    "painter": ("studio", "brush", "large pictures"),
    "fisher": ("harbour", "net", "silver fish"),
    "gardener": ("garden", "spade", "red roses"),
}
PETS = {  # an animal: the sound it makes, and what it eats
    "dog": ("barks", "an old bone"),
    "cat": ("purrs", "a small mouse"),
    "horse": ("neighs", "some dry hay"),
    "parrot": ("sings", "a few seeds"),
    "rabbit": ("sniffs", "a green leaf"),
    "goat": ("bleats", "the short grass"),
}
PET_NAMES = ("Bella", "Rex", "Luna", "Max", "Coco", "Oscar")
COLOURS = ("black", "white", "brown", "grey", "spotted")
WEATHER = {  # the weather: what is worn, and what is done
    "it rains": ("boots", "stay at home"),
    "it snows": ("gloves", "build a snowman"),
    "the sun shines": ("a hat", "walk to the river"),
    "the wind blows": ("a scarf", "fly a kite"),
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SENTENCES = (
    "Every {day} {name} goes to the {place} with the {tool} and makes {product}.",
    "People in {city} like {his} {product}.",
    "{He} has a {colour} {animal} called {pet}.",
    "When {pet} is happy, the {animal} {sound} and eats {food}.",
    "When {weather}, {name} wears {clothes}, and {name} and {pet} {deed}.",
    "On {day} {name} tells {pet} about the {place}, and the {animal} {sound}.",
)


def stories(rng: random.Random) -> dict[str, Any]:
    """Write a story of somebody's work, animal and weather; `text`."""
    he = rng.choice(sorted(PEOPLE))
    trade, animal, weather = (rng.choice(sorted(facts)) for facts in (WORK, PETS, WEATHER))
    (place, tool, product), (sound, food), (clothes, deed) = WORK[trade], PETS[animal], WEATHER[weather]
    words = {
        "He": he,
        "his": HIS[he],
        "name": rng.choice(PEOPLE[he]),
        "city": rng.choice(CITIES),
        "day": rng.choice(DAYS),
        "colour": rng.choice(COLOURS),
        "pet": rng.choice(PET_NAMES),
        "trade": trade,
        "place": place,
        "tool": tool,
        "product": product,
        "animal": animal,
        "sound": sound,
        "food": food,
        "weather": weather,
        "clothes": clothes,
        "deed": deed,
    }
    told = ["{name} is a {trade} from {city}.", *rng.sample(SENTENCES, rng.randint(3, len(SENTENCES)))]
    return {"text": " ".join(sentence.format_map(words) for sentence in told)}
