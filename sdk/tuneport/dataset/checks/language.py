"""Which language a text is in, as far as script and frequent words tell: some microseconds, for every row."""

from __future__ import annotations

import re
import struct

import numpy as np

# Frequent words. One that is frequent in several languages counts for each of them, and the less the more there are.
_WORDS = {
    "en": (
        "the of and to a in is it you that he was for on are with as i they be at this have from or had by but "
        "what some we can out other were all there when up use your how an each she which do their if will way "
        "about many then them would so these her him has more who get its our not no until most too"
    ),
    "de": (
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
        "hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum haben nur oder aber vor zur "
        "bis mehr durch man ich ihr wir kann wenn was uns mir ihre"
    ),
    "fr": (
        "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec ou son "
        "aux d'un cette ses mais comme on tout nous sa elle être vous leur je votre très peut fait si bien"
    ),
    "es": (
        "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin "
        "sobre este ya entre cuando todo esta ser son dos también fue había era muy hasta desde está mi porque qué "
        "puede"
    ),
    "it": (
        "di e il la che a per un in è una non le si dei con del da della i al sono come più ha alla nel lo ma "
        "anche gli su dal delle o questo se mi ci cui essere quando molto nella può hai tutto questa"
    ),
    "pt": (
        "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou "
        "quando muito nos já eu também só pelo pela até isso ela entre depois sem mesmo está você foi são pode"
    ),
    "nl": (
        "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit nog wordt door "
        "naar heeft hij ik ze wat over zo kan geen worden hebben je deze tot uw we meer moet dit"
    ),
    "sv": (
        "och i att det som en på är av för med till den har de inte om ett han men var jag från vi så kan när nu "
        "du ska skulle eller efter vid sin hon mycket utan mer detta alla din"
    ),
    "da": (
        "og i at det er en til af på den med for de der ikke som har et jeg om han men var fra vi så kan når nu du "
        "skal eller efter ved sin hun meget uden mere dette alle din hvad"
    ),
    "pl": (
        "w i na się z nie to do że jest o a jak od po co za przez ale dla są tak czy już oraz być może jego ich ze "
        "tylko który która które tym bardzo można jako"
    ),
    "cs": (
        "a v se na je že to s z do o i jako za ale pro by jsou po od který však tak které k bude při nebo už jen "
        "podle jsem aby může být si jeho"
    ),
    "ro": (
        "de și în a la pe cu nu că să o din un care mai este pentru ce sunt au fi prin dar sau după ca fost al lui "
        "ei se dacă poate"
    ),
    "tr": (
        "ve bir bu da de için ile olarak çok daha olan gibi sonra ne en kadar var ancak her o ki ya değil mi şey "
        "ben olduğunu olduğu nasıl"
    ),
    "fi": (
        "ja on ei että se hän oli en mutta ovat niin kuin minä ole mitä tämä joka olen jos sinä sen myös tai voi "
        "kun siitä nyt vain mukaan"
    ),
    "hu": (
        "a az és hogy nem is egy van meg ez de csak már még el ha volt mint azt ki fel kell ezt azért vagy nagyon "
        "minden lehet"
    ),
    "id": (
        "yang dan di untuk dengan ini itu dari tidak dalam pada adalah akan ke saya anda bisa juga oleh ada karena "
        "mereka atau sudah kami jika"
    ),
}
_NAMES = list(_WORDS)
_WEIGHT = 12
_ENOUGH = 2.5 * _WEIGHT
_of: dict[str, list[int]] = {}
for _place, _line in enumerate(_WORDS.values()):
    for _word in set(_line.split()):
        _of.setdefault(_word, []).append(_place)
# A word's weights for all languages in one number, 16 bits each, so that adding numbers adds up every language at once.
_HITS = {word: sum((_WEIGHT // len(places)) << (16 * place) for place in places) for word, places in _of.items()}
_unpack = struct.Struct(f"<{len(_NAMES)}H").unpack

_SCRIPTS = (  # block boundaries; what lies between belongs to the name
    (0x0000, "Latin"), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"), (0x0590, "Hebrew"), (0x0600, "Arabic"),
    (0x0780, ""), (0x0900, "Devanagari"), (0x0980, "Bengali"), (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"), (0x0B00, "Oriya"),
    (0x0B80, "Tamil"), (0x0C00, "Telugu"), (0x0C80, "Kannada"), (0x0D00, "Malayalam"), (0x0D80, "Sinhala"), (0x0E00, "Thai"),
    (0x0E80, "Lao"), (0x0F00, "Tibetan"), (0x1000, "Myanmar"), (0x10A0, "Georgian"), (0x1100, "Hangul"), (0x1200, "Ethiopic"),
    (0x1380, ""), (0x1780, "Khmer"), (0x1800, ""), (0x1E00, "Latin"), (0x1F00, "Greek"), (0x2000, ""), (0x3040, "Japanese"),
    (0x3100, ""), (0x3130, "Hangul"), (0x3190, ""), (0x3400, "Han"), (0xA000, ""), (0xAC00, "Hangul"), (0xD7B0, ""),
    (0xF900, "Han"), (0xFB00, ""), (0x20000, "Han"), (0x30000, ""),
)  # fmt: skip
_BOUNDS = np.array([start for start, _ in _SCRIPTS], np.uint32)
_SCRIPT_NAMES: list[str] = [name for _, name in _SCRIPTS]
_WINDOW = 300  # characters that are looked at
_CODE = re.compile(r"[;{}=<>\\]|\(\)|\w_\w")
_NOT_PROSE = ("{", "[", "<", "```")

# A prompt that asks for another language: "translate", or a language by its name.
_ASKS = re.compile(
    r"translat|übersetz|tradu[cisz]|traduis|traduir|vertaal|översätt|oversæt|przetłumacz|přelož|terjemah|çevir|перев[её]д|перекла"
    r"|翻译|翻譯|译成|訳し|翻訳|번역|ترجم|अनुवाद|תרגם"
    r"|\b(?:english|german|french|spanish|italian|portuguese|dutch|swedish|danish|norwegian|finnish|polish|czech|russian|ukrainian"
    r"|turkish|arabic|hebrew|hindi|chinese|mandarin|japanese|korean|vietnamese|thai|indonesian|greek|hungarian|romanian|latin)\b"
    r"|\b(?:englisch|deutsch|französisch|spanisch|italienisch|anglais|allemand|français|espagnol|inglés|alemán|francés|español)"
    r"|английск|немецк|французск|испанск|英語|英语|英文|中文|日本語|日语|法语|德语|西班牙语|ドイツ語|フランス語|스페인어|영어",
    re.IGNORECASE,
)


def asks_for_language(text: str) -> bool:
    return _ASKS.search(text[:4000]) is not None or (len(text) > 4000 and _ASKS.search(text[-4000:]) is not None)


def script(text: str) -> str:
    """The script of two thirds of the letters; "" where there are few or many kinds. Han with kana is "Japanese"."""
    if text.isascii():
        return "Latin"
    points = np.frombuffer(text[:_WINDOW].encode("utf-32-le", "surrogatepass"), "<u4")
    letters = points[(points >= 0xAA) | ((points | 32) - 97 < 26)]
    if not len(letters):
        return ""
    places, counts = np.unique(np.searchsorted(_BOUNDS, letters, side="right") - 1, return_counts=True)
    of: dict[str, int] = {}
    for place, count in zip(places, counts.tolist(), strict=True):
        name = _SCRIPT_NAMES[int(place)]
        of[name] = of.get(name, 0) + count
    of.pop("", 0)
    if of.get("Japanese", 0) * 5 > of.get("Han", 0):
        of["Japanese"] = of.get("Japanese", 0) + of.pop("Han", 0)
    if not of:
        return ""
    best = max(of, key=lambda name: of[name])
    return best if of[best] * 3 >= 2 * sum(of.values()) else ""


def words(text: str) -> str:
    """The language of text in Latin script, or "" where its words do not tell."""
    total = sum([_HITS[word] for word in set(text[:_WINDOW].lower().split()) if word in _HITS])
    if total < _WEIGHT:
        return ""
    counts = list(_unpack(total.to_bytes(2 * len(_NAMES), "little")))
    best = max(counts)
    place = counts.index(best)
    counts[place] = 0
    return _NAMES[place] if best >= _ENOUGH and best >= 1.6 * max(counts) else ""


def compare(prompt: str, answer: str) -> tuple[str, str] | None:
    """The languages of the two: scripts ("Cyrillic"), or within Latin script languages ("de"); None: it cannot be told.

    Code, JSON and labels are in no language, and a short Japanese text may have no kana.
    """
    if len(prompt) < 12 or len(answer) < 12 or answer.startswith(_NOT_PROSE) or prompt.startswith(_NOT_PROSE):
        return None
    theirs, ours = script(prompt), script(answer)
    if not theirs or not ours:
        return None
    if theirs == ours != "Latin":
        return theirs, ours
    if theirs == ours:
        one = words(prompt)
        other = words(answer) if one else ""
        return (one, other) if other else None
    if {theirs, ours} == {"Han", "Japanese"}:
        return None
    latin = prompt if theirs == "Latin" else answer if ours == "Latin" else None
    if latin is None:
        return theirs, ours
    if len(latin.split(None, 8)) < 8 or _CODE.search(latin[:_WINDOW]):
        return None
    name = words(latin) or "Latin"
    return (name, ours) if latin is prompt else (theirs, name)
