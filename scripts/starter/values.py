"""Values made on the fly: names, places, things, codes, amounts and dates that nobody can have learnt by heart.

A small model that meets the same names again and again learns the names; one that never meets a name twice has to learn
to copy. So nearly everything here is put together from syllables at the moment it is needed.
"""

from __future__ import annotations

import datetime as dt
import random
import zlib

ONSETS = "b br c ch cl d dr f fl g gl gr h j k kl kr l m n p pl qu r s sh sk sl st t th tr v w y z".split()
NUCLEI = "a e i o u a e i o u a e i o u ai ea ee ia ie io oa ou".split()
CODAS = ["", "", "", "l", "m", "n", "r", "s", "t", "nd", "ck", "rt", "sk", "x", "th", "ll", "rn", "v"]
CITY_ENDS = ["", "", "ton", "ville", "burg", "ford", "by", "haven", "stad", "mouth", "wick", "port"]
COMPANY_ENDS = ["Ltd", "Group", "GmbH", "Inc", "Partners", "Labs", "Works", "and Sons", "Foods", "Studio"]
STREET_ENDS = ["Street", "Road", "Lane", "Avenue", "Square", "Way", "Hill", "Close"]

MATERIALS = (
    "brass steel copper oak pine glass paper cotton wool linen leather rubber plastic ceramic bamboo velvet "
    "silver iron wooden marble red blue green black white grey yellow purple orange brown small large narrow wide "
    "round square folding portable heavy light electric manual double single long short padded soft striped plain "
    "garden kitchen office travel winter summer outdoor digital vintage compact wireless thermal magnetic hooded "
    "quilted enamel walnut granite cork denim foam "
).split()
THINGS = (
    "hinge kettle lamp chair table shelf desk rug curtain pillow blanket towel mug plate bowl spoon knife fork "
    "pan pot jug bottle basket bucket broom brush mop ladder hammer drill saw wrench screw bolt nail rope chain "
    "lock key bell clock mirror frame vase candle lantern torch fan heater pump valve pipe hose tap sink bath mat "
    "door handle window blind ribbon button zipper scarf glove hat coat jacket shirt belt boot shoe sandal sock "
    "bag wallet purse suitcase tent hammock kite ball racket helmet bicycle scooter saddle pedal mirror cable "
    "charger adapter keyboard mouse monitor printer speaker camera tripod microphone notebook pencil marker "
    "stapler folder envelope stamp puzzle drum flute guitar violin whistle toaster blender mixer grinder scale "
    "timer thermometer barometer compass radio fence planter trellis shovel rake sprinkler bench stool cabinet "
    "drawer hook rack tray "
).split()
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# Letters of several scripts, so that byte-level tokens are copied too and not only Latin ones.
SCRIPTS = [
    "абвгдежзиклмнопрстуфхцчшэюя",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "àáâäãåçèéêëìíîïñòóôöõùúûüýøœæß",
    "年月日一二三四五六七八九十中大小人口手水火木金土",
    "अआइईउएकखगघचजटडतदनपबमयरलवसह",
    "ابتثجحدذرزسشصضطعغفقكلمنهوي",
    "가나다라마바사아자차카타파하년월일",
    "กขคงจชซดตถทนบปพมยรลวสห",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "あいうえおかきくけこさしすせそたちつてと",
]


def syllable(rng: random.Random) -> str:
    return rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS)


def word(rng: random.Random, low: int = 1, high: int = 2) -> str:
    """A word that nobody has seen."""
    return "".join(syllable(rng) for _ in range(rng.randint(low, high)))


def first_name(rng: random.Random) -> str:
    return (word(rng, 1, 2) + rng.choice(["", "a", "o", "i", "en", "el"])).capitalize()


def person(rng: random.Random) -> str:
    return f"{first_name(rng)} {word(rng, rng.choice([1, 2]), rng.choice([2, 2, 3])).capitalize()}"


def city(rng: random.Random) -> str:
    return (word(rng, 1, 2) + rng.choice(CITY_ENDS)).capitalize()


def company(rng: random.Random) -> str:
    return f"{word(rng, 1, 3).capitalize()} {rng.choice(COMPANY_ENDS)}"


def street(rng: random.Random) -> str:
    return f"{rng.randint(1, 199)} {word(rng, 1, 3).capitalize()} {rng.choice(STREET_ENDS)}"


def item(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.45:
        return f"{rng.choice(MATERIALS)} {rng.choice(THINGS)}"
    if kind < 0.65:
        return f"{rng.choice(MATERIALS)} {word(rng)}"
    if kind < 0.85:
        return f"{word(rng)} {rng.choice(THINGS)}"
    return rng.choice([word(rng, 2, 3), f"{word(rng)} {word(rng)}", rng.choice(THINGS)])


def letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(count))


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def code(rng: random.Random) -> str:
    shape = rng.randrange(6)
    if shape == 0:
        return f"{letters(rng, 2)}-{digits(rng, 4)}"
    if shape == 1:
        return f"{letters(rng, rng.randint(1, 3))}{digits(rng, rng.randint(3, 5))}"
    if shape == 2:
        return f"{letters(rng, 3)}-{digits(rng, 2)}-{digits(rng, 3)}"
    if shape == 3:
        return digits(rng, rng.randint(4, 7))
    if shape == 4:
        return f"{digits(rng, 3)}-{letters(rng, 2)}"
    return f"#{digits(rng, 4)}{letters(rng, 1)}"


def email(rng: random.Random) -> str:
    mailbox = f"{word(rng, 1, 2)}{rng.choice(['.', '_', ''])}{word(rng, 1, 2)}"
    return f"{mailbox}@{word(rng, 1, 2)}.{rng.choice(['com', 'org', 'net'])}"


def phone(rng: random.Random) -> str:
    return rng.choice(["+{} {} {}", "0{}-{}-{}", "({}) {} {}"]).format(digits(rng, 2), digits(rng, 3), digits(rng, 4))


def amount(rng: random.Random) -> str:
    number = rng.choice([f"{rng.randint(1, 999)}.{rng.randint(0, 99):02d}", str(rng.randint(1, 2000))])
    return rng.choice(["{} EUR", "${}", "{} dollars", "£{}", "{} USD"]).format(number)


def clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.choice([0, 5, 10, 15, 20, 30, 40, 45, 50]):02d}"


def quantity(rng: random.Random) -> str:
    return str(rng.choice([rng.randint(2, 20), rng.randint(2, 99), rng.randint(10, 999)]))


def date(rng: random.Random) -> dt.date:
    return dt.date(2000, 1, 1) + dt.timedelta(days=rng.randrange(365 * 40))


def foreign(rng: random.Random) -> str:
    """One to three "words" in a script other than plain Latin."""
    alphabet = rng.choice(SCRIPTS)
    return " ".join("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 4))) for _ in range(rng.randint(1, 3)))


DATE_STYLES = [
    "{d} {B} {Y}",
    "{B} {d}, {Y}",
    "{d} {b} {Y}",
    "{Y}-{m:02d}-{d:02d}",
    "{d:02d}.{m:02d}.{Y}",
    "{d:02d}/{m:02d}/{Y}",
    "{Y}/{m:02d}/{d:02d}",
    "{b} {d}, {Y}",
    "the {o} of {B} {Y}",
    "{Y}{m:02d}{d:02d}",
    "{d}-{b}-{Y}",
    "{d}.{m}.{Y}",
]
# How a date style is written in an instruction.
STYLE_NAMES = {
    "{Y}-{m:02d}-{d:02d}": "YYYY-MM-DD",
    "{d:02d}.{m:02d}.{Y}": "DD.MM.YYYY",
    "{d:02d}/{m:02d}/{Y}": "DD/MM/YYYY",
    "{Y}/{m:02d}/{d:02d}": "YYYY/MM/DD",
    "{Y}{m:02d}{d:02d}": "YYYYMMDD",
}


def write_date(day: dt.date, style: str) -> str:
    ending = "th" if 11 <= day.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    month = MONTHS[day.month - 1]
    return style.format(d=day.day, m=day.month, Y=day.year, B=month, b=month[:3], o=f"{day.day}{ending}")


def side(value: str) -> str:
    """`test` for about a quarter of all possible values, `train` for the rest.

    A value's side is a property of the value, so two sets can't share one whatever seeds made them.
    """
    return "test" if zlib.crc32(value.lower().encode()) % 4 == 0 else "train"
