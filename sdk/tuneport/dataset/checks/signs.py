"""The one pass that decides which rows of a batch any detector of secrets or personal data must look at.

A match of any kind needs one of a few signs that array operations find over all bytes at once: an "@", six digits close
together, a long run of letters and digits that begins like a known key, a word such as "password" before a "=". Ordinary text
has none, so it costs some 5 ms a megabyte; what has one is read by the detectors that the sign belongs to.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Match(NamedTuple):
    """Something found in a text. `kind` is a privacy code's last part; `masked` shows four characters of it at most.

    `what` is the kind in more detail, and for people. An `example` is a value that is published as an example or for tests.
    """

    kind: str
    start: int
    end: int
    masked: str
    what: str
    example: bool = False


class Sign:
    """What a row shows from afar, as bits."""

    AT = 1
    DIGITS = 2
    KEY = 4
    WORD = 8
    ADDRESS = 16
    ALL = 31


_DENSE, _WITHIN = 6, 13  # digits, and bytes from the first to the last
RUN = 16  # letters, digits, - and _ in a row: every known key has such a run

# How a key begins: with its run (inside one it does not count), or before a run that stands after a dot.
PREFIXES = (
    r"A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|ABSK|AIza|AKC|AGE-SECRET|AA|EAA|EZ[AT]K|GOCSPX-|GR1348941|HRKU-|LTAI|NRAK-|PMAK-"
    r"|SK[0-9a-f]|PuTTY-User-Key|A3-|api_org_|dapi|do[opr]_v1_|dckr_pat_|ey[IJ]|fm[12]|fo1_|gh[oprsu]_|github_pat_"
    r"|gl(?:cbt|dt|ffct|ft|imt|agent|oas|pat|ptt|rt|soat|c_|sa_)|gsk_|hf_|key-[0-9a-f]{9}|lin_api_|lsv2_|npm_|ntn_|nvapi-"
    r"|ops_ey|pat[A-Za-z0-9]{14}(?![A-Za-z0-9_-])|pnu_|pplx-|pscale_|pul-|pypi-|r8_|rk_|rpa_|rubygems_|sbp_|secret_"
    r"|shp(?:at|ca|pa|ss)_|sk-|sk_|sntry[su]_|sq0|tgp_v1_|vercel_|whsec_|xai-|xapp-|xkeysib-|xox[abeoprs]"
)
_PREFIX = re.compile(PREFIXES.encode())
DOTTED = r"(?:SG|dp\.pt|dp\.st|hv[bs]|ya29|dt0c01|xoxe)\.$"
_DOTTED = re.compile(DOTTED.encode())
# What is no known key is told by a word before it: of keys and tokens close before their long value, of passwords anywhere.
WORDS = r"secret|token|api[ _-]?key|access[ _-]?key|account[ _-]?key|auth[ _-]?key|private[ _-]?key|passw|bearer"
_TOLD = re.compile(WORDS.encode())
_PASSWORDS = (b"pass", b"pwd")
_VALUE = re.compile(rb"(?:w|phrase|code|\b)[\w -]{0,28}?[\\\"'`*]{0,5}\s{0,2}(?:[:=]|\bis\b)")

# Bytes that are looked at together, as the arrays take some ten for each; what two such parts share, so that nothing is cut.
_STEP, _OVERLAP = 1 << 20, 1 << 12
_AT, _COLON, _DOT, _JOINER, _TOKEN, _DASH, _DIGIT = 1, 2, 3, 4, 5, 6, 7


def _classes() -> bytes:
    table = bytearray(256)
    for byte in range(128):
        character = chr(byte)
        if character.isdigit():
            table[byte] = _DIGIT
        elif character.isalpha() or character == "_":
            table[byte] = _TOKEN
        elif character in "+/~":
            table[byte] = _JOINER
    table[ord("-")], table[ord("@")], table[ord(":")], table[ord(".")] = _DASH, _AT, _COLON, _DOT
    return bytes(table)


_CLASSES = _classes()


def signs(blob: bytes, starts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The signs of each of the rows that stand in `blob` from `starts` on, a byte between each two."""
    found = np.zeros(len(starts), np.uint8)
    for at in range(0, len(blob), _STEP):
        begin = max(at - _OVERLAP, 0)
        _look(blob[begin : at + _STEP], starts - begin, found)
    return found


def _look(blob: bytes, starts: NDArray[np.int64], found: NDArray[np.uint8]) -> None:
    def mark(places: NDArray[np.int64], sign: int) -> None:
        if len(places):
            found[np.searchsorted(starts, places, side="right") - 1] |= np.uint8(sign)

    classes = np.frombuffer(blob.translate(_CLASSES), np.uint8)
    mark(np.flatnonzero(classes == _AT), Sign.AT)
    digits = np.flatnonzero(classes == _DIGIT)
    mark(_close(digits, _DENSE - 1, _WITHIN), Sign.DIGITS)
    dots = np.flatnonzero(classes[1:-1] == _DOT) + 1
    mark(_close(dots[(classes[dots - 1] == _DIGIT) & (classes[dots + 1] == _DIGIT)], 2, 8), Sign.ADDRESS)
    mark(_close(np.flatnonzero(classes == _COLON), 2, 10), Sign.ADDRESS)
    if not blob.isascii():
        mark(_foreign_digits(np.frombuffer(blob, np.uint8)), Sign.DIGITS)
    dashes = np.flatnonzero(classes[:-1] == _DASH)
    mark(dashes[np.frombuffer(blob, np.uint8)[dashes + 1] == ord("B")], Sign.KEY)  # -----BEGIN PRIVATE KEY
    mark(_keys(blob, classes), Sign.KEY)
    lower = blob.lower()
    mark(_told(lower, classes, digits), Sign.WORD)
    mark(_passwords(lower), Sign.WORD)


def _close(places: NDArray[np.int64], further: int, distance: int) -> NDArray[np.int64]:
    """The first of each `further` + 1 places of which the last is no more than `distance` on."""
    return places[:-further][places[further:] - places[:-further] <= distance] if len(places) > further else places[:0]


def _foreign_digits(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where full-width, Arabic and Persian digits stand: they are rare, so one is enough."""
    places = [np.flatnonzero(data[:-2] == 0xEF)]
    places[0] = places[0][(data[places[0] + 1] == 0xBC) & (data[places[0] + 2] >= 0x90) & (data[places[0] + 2] <= 0x99)]
    for lead, first in ((0xD9, 0xA0), (0xDB, 0xB0)):
        at = np.flatnonzero(data[:-1] == lead)
        places.append(at[(data[at + 1] >= first) & (data[at + 1] < first + 10)])
    return np.concatenate(places)


def _runs(classes: NDArray[np.uint8], least: int) -> NDArray[np.int64]:
    """Start and end of what is more than `RUN` - 1 bytes in a row of a class of at least `least`."""
    edges = np.concatenate(([-1], np.flatnonzero(classes < least), [len(classes)]))
    long = np.flatnonzero(np.diff(edges) > RUN)
    return np.stack((edges[long] + 1, edges[long + 1]))


def _keys(blob: bytes, classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    found: list[int] = []
    starts: list[int] = _runs(classes, _TOKEN)[0].tolist()
    for start in starts:
        before = blob[start - 1] if start else 0
        if (
            _PREFIX.match(blob, start)
            or (before == 0x5C and _PREFIX.match(blob, start + 1))  # the n of an escaped line break
            or (
                before == 0x2F and b"hook" in blob[max(start - 90, 0) : start]
            )  # the secret part of a webhook's address
            or (before == 0x2E and _DOTTED.search(blob, max(start - 8, 0), start))
        ):
            found.append(start)
    return np.asarray(found, np.int64)


def _told(lower: bytes, classes: NDArray[np.uint8], digits: NDArray[np.int64]) -> NDArray[np.int64]:
    starts, ends = _runs(classes, _JOINER)
    chosen: list[int] = starts[np.searchsorted(digits, starts) < np.searchsorted(digits, ends)].tolist()
    search = _TOLD.search
    return np.asarray([at for at in chosen if search(lower, max(at - 80, 0), at)], np.int64)


def _passwords(lower: bytes) -> NDArray[np.int64]:
    found: list[int] = []
    for word in _PASSWORDS:
        at = lower.find(word)
        while at >= 0:
            if _VALUE.match(lower, at + len(word), at + 48):
                found.append(at)
            at = lower.find(word, at + len(word))
    return np.asarray(found, np.int64)
