"""Payment cards, bank accounts and personal identity numbers in a text."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from tuneport.dataset.checks.contacts import ends
from tuneport.dataset.checks.numbers import ACCOUNT, BANK, FORMS, ID, RULES, SPACED_FORMS, Rule
from tuneport.dataset.checks.signs import Match

_CARD_SHAPES = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3)}
_CARD_NEAR = (
    r"\bcards?\b|visa|master.?card|amex|american express|credit|debit|\bcvv|\bcvc|kreditkart|\bkarte|carte|tarjeta"
    r"|cart[aã]o"
    r"|carta di|kaart|карт|カード|银行卡|卡号|card.?number"
)
_NOT_A_CARD = re.compile(
    r"(?i)(?:order|invoice|tracking|track|imei|ticket|isbn|ean|upc|gtin|parcel|shipment|serial|reference"
    r"|ref|transaction|txn|sku|case"
    r"|bestell\w*|rechnung\w*|sendung\w*|commande|pedido|ordine)[ -]?(?:no\.?|nr\.?|number|id|code|nummer)?"
    r"\s?(?:is|was)?\s?[:#=]?\s?#?$"
)
# Published by the card networks and payment services for tests: never anybody's.
_TEST_CARDS = frozenset(
    "4111111111111111 4242424242424242 4012888888881881 4222222222222 4000056655665556 4917610000000000 4917484589897107 "
    "5555555555554444 5105105105105100 5200828282828210 5425233430109903 2223003122003222 2222420000001113 5454545454545454 "
    "378282246310005 371449635398431 378734493671000 374245455400126 6011111111111117 6011000990139424 6011981111111113 "
    "3056930009020004 30569309025904 36227206271667 38520000023237 3530111333300000 3566002020360505 6200000000000005 "
    "6759649826438453 6799990100000000019 5019717010103742 4444333322221111 4988438843884305 5555341244441115 "
    "4007000000027 4012888818888 4005519200000004 4009348888881881 4500600000000061 6304000000000000".split()
)

_DENSE = re.compile(r"[0-9](?:[^0-9]{0,8}[0-9]){5,}")
# Characters before and after the digits: the letters of a number that has some, to the next blank.
_BEFORE, _AFTER, _FAR = 20, 24, 400
_LETTERED = re.compile(r"[A-Za-z]\d|\d[A-Za-z]|[A-Z]{2} \d\d|\d[ -][A-Za-z]\b|\b[XYZxyz][ -]\d")
_CLUSTER = re.compile(r"\d(?:[ \u00a0\u2011.\-/]?\d){5,}")
_GROUP = re.compile(r"\d+")
_PLAIN = {"\u2011": "-", "\u00a0": " "}
# A word of letters and digits: first a character, so that the search skips quickly; then that no word goes on before it.
_WORD = re.compile(r"[A-Za-z0-9](?<![A-Za-z0-9_][A-Za-z0-9])(?=[A-Za-z]*\d)[A-Za-z0-9]{6,17}(?![A-Za-z0-9_])")
_SPACED = re.compile(
    r"[A-Za-z0-9](?<![A-Za-z0-9_][A-Za-z0-9])(?:"
    r"(?P<iban>(?<=[A-Za-z])[A-Za-z]\d{2}(?:[ \u00a0-]?[A-Za-z0-9]{4}){2,7}(?:[ \u00a0-]?[A-Za-z0-9]{1,4})?)"
    r"|(?P<nino>(?<=[A-CEGHJ-PR-TW-Z])[A-CEGHJ-NPR-TW-Z] \d\d \d\d \d\d [A-D])"
    r"|(?P<nie>(?<=[XYZxyz])[ -]?\d{7}[ -]?[A-Za-z])"
    r"|(?P<dni>(?<=\d)\d{7}[ -][A-Za-z])"
    r"|(?P<hetu>(?<=\d)\d{5}[-+]\d{3}[0-9A-FHJ-NPR-Y])"
    r")(?![A-Za-z0-9_])"
)


def dense(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of the parts of a text that have six digits close together, whole words of them."""
    start = end = -1
    for found in _DENSE.finditer(text):
        first, last = found.span()
        if first - _BEFORE > end:
            if end >= 0:
                yield start, end
            start = max(text.rfind(" ", 0, max(first - _BEFORE, 0)) + 1, first - _FAR)
        if last + _AFTER > end:
            end = text.find(" ", last + _AFTER, last + _FAR)
            end = min(last + _FAR, len(text)) if end < 0 else end
    if end >= 0:
        yield start, end


def find_identities(text: str, start: int, end: int, hint: str = "") -> Iterator[Match]:
    """Numbers between two places of a text. `hint` is the key that the text stands under, as it may say what it is."""
    place = Place(text, hint)
    for cluster in _CLUSTER.finditer(text, start, end):
        yield from _numbers(place, cluster.start(), cluster.group())
    if _LETTERED.search(text, start, end):
        yield from _mixed(place, start, end)


class Place(NamedTuple):
    """A text and what is said of it as a whole."""

    text: str
    hint: str

    def says(self, near: str | None, start: int, end: int) -> bool:
        """Whether it is said close before or after."""
        if near is None:
            return True
        pattern = re.compile(near, re.IGNORECASE)
        if pattern.search(self.text, max(start - 60, 0), start) or pattern.search(self.text, end, end + 25):
            return True
        return bool(self.hint and pattern.search(self.hint))


def _numbers(place: Place, offset: int, cluster: str) -> Iterator[Match]:
    groups = [group.span() for group in _GROUP.finditer(cluster)]
    lengths = [end - begin for begin, end in groups]
    for first in range(len(groups)):
        for count, rules in _shapes(lengths, first):
            last = first + count - 1
            start, end = offset + groups[first][0], offset + groups[last][1]
            if not _stands_alone(place.text, start, end):
                continue
            digits = "".join(cluster[a:b] for a, b in groups[first : last + 1])
            gaps = [_PLAIN.get(cluster[groups[i][1]], cluster[groups[i][1]]) for i in range(first, last)]
            around = {cluster[groups[i][1]] for i in (first - 1, last) if 0 <= i < len(groups) - 1}
            if 13 <= len(digits) <= 19 and (card := _card(place, start, end, digits, gaps)) is not None:
                yield card
                continue
            for rule in rules:
                if (
                    _separated(rule, gaps, around)
                    and place.says(rule.near, start, end)
                    and _valid(rule.module, place.text[start:end] if rule.module == "fi.hetu" else digits)
                ):
                    yield Match(rule.kind, start, end, ends(digits), rule.what)
                    break
            else:
                if count == 1 and 7 <= len(digits) <= 17 and place.says(ACCOUNT, start, end):
                    yield Match(BANK, start, end, ends(digits), "bank account number")


def _shapes(lengths: list[int], first: int) -> Iterator[tuple[int, list[Rule]]]:
    """How many groups from `first` on make a known number, the longest first."""
    table, begins = _table()
    if tuple(lengths[first : first + 2]) in begins:
        for count in range(min(7, len(lengths) - first), 1, -1):
            shape = tuple(lengths[first : first + count])
            if shape in table:
                yield count, table[shape]
    if 7 <= lengths[first] <= 22:
        yield 1, table.get((lengths[first],), [])


@cache
def _table() -> tuple[dict[tuple[int, ...], list[Rule]], set[tuple[int, ...]]]:
    """Rules by their groups, and how these begin."""
    table: dict[tuple[int, ...], list[Rule]] = {shape: [] for shape in _CARD_SHAPES}
    for rule in RULES:
        table.setdefault(rule.lengths, []).append(rule)
    return table, {shape[:2] for shape in table if len(shape) > 1}


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, after = text[max(start - 2, 0) : start], text[end : end + 2]
    if before[-1:].isalnum() or after[:1].isalnum() or before[-1:] in {"_", "$", "€", "£", "+"} or after[:1] == "_":
        return False
    # the digits of a decimal fraction, or of a number with thousands
    return not (before[-1:] == "," and before[:1].isdigit()) and not (after[:1] == "," and after[1:].isdigit())


def _separated(rule: Rule, gaps: list[str], around: set[str]) -> bool:
    if not gaps or "".join(gaps) == rule.between:
        return True
    if len(rule.between) > 2 or len(set(gaps)) > 1 or gaps[0] not in rule.between:
        return False
    return gaps[0] == " " or gaps[0] not in around  # no part of a longer number that is written the same way


@cache
def _judge(module: str) -> Any:
    return importlib.import_module(f"stdnum.{module}").is_valid


def _valid(module: str, number: str) -> bool:
    if not module:
        return True
    if len(set(number)) < 3 or not _judge(module)(number):
        return False
    # python-stdnum looks at the check digits only: a sex, and a month or one of its substitutes
    return module != "fr.nir" or (number[0] in "123478" and (1 <= int(number[3:5]) <= 12 or int(number[3:5]) >= 20))


def _card(place: Place, start: int, end: int, digits: str, gaps: list[str]) -> Match | None:
    if gaps and (len(set(gaps)) > 1 or gaps[0] not in " -"):
        return None
    brand = _brand(digits)
    said = place.says(_CARD_NEAR, start, end)
    if brand is None and not (said and digits[0] in "3456" and len(digits) >= 14):
        return None
    if not _judge("luhn")(digits):
        return None
    if (
        digits in _TEST_CARDS
        or digits.startswith(("400000", "55555555"))
        or "00000000" in digits
        or len(set(digits)) < 3
    ):
        return Match("card", start, end, ends(digits), "test card number", example=True)
    if not gaps:
        if _NOT_A_CARD.search(place.text, max(start - 40, 0), start):
            return None
        if not said and (
            brand in {"Diners", "UnionPay"}
            or len(digits) == 19
            or place.text[start - 1 : start] in {"/", "=", "#", "&"}
        ):
            return None
    return Match("card", start, end, ends(digits), f"{brand or 'payment'} card number")


def _brand(digits: str) -> str | None:
    """By the first digits and the length, as the networks publish them; old or rare lengths only with a word near."""
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4" and size in {16, 19}:
        return "Visa"
    if size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720):
        return "Mastercard"
    if size == 15 and two in {34, 37}:
        return "American Express"
    if size == 16 and (four == 6011 or two == 65 or 6440 <= four <= 6499):
        return "Discover"
    if size == 16 and 3528 <= four <= 3589:
        return "JCB"
    if size == 14 and (two in {36, 38, 39} or 3000 <= four <= 3059):
        return "Diners"
    if 16 <= size <= 19 and two == 62:
        return "UnionPay"
    return None


def _mixed(place: Place, first: int, last: int) -> Iterator[Match]:
    for found in _WORD.finditer(place.text, first, last):
        value, (start, end) = found.group(), found.span()
        for form in FORMS:
            if form.form.fullmatch(value) and place.says(form.near, start, end) and _valid(form.module, value):
                yield Match(ID, start, end, ends(value), form.what)
                break
    for found in _SPACED.finditer(place.text, first, last):
        value, (start, end) = found.group(), found.span()
        if found.lastgroup == "iban":
            if value := _iban(value):
                yield Match(BANK, start, start + len(value), ends(value), "IBAN")
            continue
        what, module, near = SPACED_FORMS[str(found.lastgroup)]
        if place.says(near, start, end) and _valid(module, value):
            yield Match(ID, start, end, ends(value), what)


def _iban(value: str) -> str:
    """The pattern may take in the words that follow: the country says how long the number is."""
    while len(value) >= 15:
        if _judge("iban")(value.replace("\u00a0", " ")):
            return value
        value = value[: max(value.rfind(" "), value.rfind("\u00a0"), value.rfind("-"), 0)]
    return ""
