"""E-mail addresses, telephone numbers and IP addresses in a text: personal, and ordinary in support mail."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from tuneport.dataset.checks.signs import Match, Sign

_EMAIL = re.compile(
    r"@(?<=[\w%+-]@)(?P<host>[^\W_](?:[\w-]{0,61}[^\W_])?(?:\.[^\W_](?:[\w-]{0,61}[^\W_])?){0,8}\.(?P<last>[^\W\d_]{2,24}))(?![\w-])"
)
_LOCAL = re.compile(r"[\w%+-][\w.%+'-]{0,63}$")
# RFC 2606 and 6761 keep these for examples; the last are files' endings (icon@2x.png)
_EXAMPLE_HOST = re.compile(
    r"(?i)(?:^|\.)(?:example(?:\.\w+)?|test|invalid|localhost|local)$|^(?:your|my)?(?:domain|company)\.com$"
)
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "pdf", "js", "css", "json"})
_NOBODY = frozenset({"git", "noreply", "no-reply", "donotreply", "do-not-reply"})

_PHONE = re.compile(
    r"(?<![\w.+/=-])(?:(?P<abroad>(?:\+|00)[1-9](?:[ .()/-]{0,2}\d){7,14})"
    r"|(?P<america>(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4})"
    r"|(?P<home>\(?0\d{1,5}\)?(?:[ /.-]{0,2}\d){5,10}))(?![\w=]|[.-]\d)"
)
_CALL = re.compile(
    r"(?i)\b(?:t[eé]l(?:[eé]fono|efon|ephone)?|phone|mobile?|cell|call|fax|whatsapp|handy|rufnummer|m[oó]vil|celular|portable"
    r"|telefono|cellulare|telefone|тел)|电话|手机|電話"
)
_REGIONS = ("GB", "DE", "FR", "ES", "IT", "NL", "AU", "JP", "CN", "IN", "BR", "CH", "AT", "BE", "SE", "PL")

_IP4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IP6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{3,39}(?![\w:.])")
_VERSION = re.compile(r"(?i)(?:version|release|build|firmware|driver|\bv|\bver)\.?\s{0,2}[:=]?\s{0,2}$")
_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"})


def find_contacts(text: str, signs: int = Sign.ALL) -> Iterator[Match]:
    """E-mail and IP addresses."""
    if signs & Sign.AT and "@" in text:
        yield from _emails(text)
    if signs & Sign.ADDRESS:
        yield from _addresses(text)


def ends(value: str) -> str:
    """The first two and the last two characters; of short values none."""
    return f"{value[:2]}…{value[-2:]}" if len(value) >= 8 else "…"


def _emails(text: str) -> Iterator[Match]:
    for found in _EMAIL.finditer(text):
        at = found.start()
        local = _LOCAL.search(text, max(at - 64, 0), at)
        if local is None or found["last"].lower() in _FILES or local.group().lower() in _NOBODY:
            continue
        if _EXAMPLE_HOST.search(found["host"]):
            continue
        yield Match("email", local.start(), found.end(), ends(text[local.start() : found.end()]), "e-mail address")


def find_phones(text: str, start: int, end: int) -> Iterator[Match]:
    """Telephone numbers between two places of a text."""
    for found in _PHONE.finditer(text, start, end):
        value = found.group()
        form = found.lastgroup
        if form == "home" and not _CALL.search(text, max(found.start() - 40, 0), found.start()):
            continue
        if re.search(r"555[ .-]?01\d\d$", value):  # kept for films and examples
            continue
        if _is_phone(value, form):
            yield Match("phone", found.start(), found.end(), ends(value), "telephone number")


def _is_phone(value: str, form: str | None) -> bool:
    import phonenumbers

    if form == "abroad" and value.startswith("00"):
        value = "+" + value[2:]
    for region in (None,) if form == "abroad" else ("US",) if form == "america" else _REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(value, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def _addresses(text: str) -> Iterator[Match]:
    for pattern in (_IP4, _IP6):
        for found in pattern.finditer(text):
            value = found.group()
            if value in _RESOLVERS or _VERSION.search(text, max(found.start() - 24, 0), found.start()):
                continue
            try:
                known = ipaddress.ip_address(value)
            except ValueError:
                continue
            # not private, loopback, documentation or multicast; and not a mere ::1
            if known.is_global and not known.is_multicast and len(value) > 6:
                yield Match("ip-address", found.start(), found.end(), ends(value), f"IPv{known.version} address")
