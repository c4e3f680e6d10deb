"""How many tokens a text is: by the model's own tokenizer where its file is at hand, else by a stated estimate.

Nothing here reaches for the network: tiktoken is asked only where its vocabulary already lies, whole, in its cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import string
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tuneport.dataset.checks.base import Target

PER_TURN = 4  # tokens that a chat format puts around a turn: its opening, its role, its end, a line break
PER_ROW = 3  # and once for each row: the beginning, and what opens the answer

_AT_ONCE = 4 << 20  # characters that go into a tokenizer in one call, so that its results stay small
_PIECE = 100_000  # characters that tiktoken is given in one piece: its splitting refuses texts of a million
# (file in the cache, sha256 of its content), as tiktoken_ext.openai_public names them
_TIKTOKEN = {
    "o200k_base": (
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}


class Counter(Protocol):
    """Counts tokens. Picklable: what is heavy is loaded where it is first needed.

    `error` is the relative error of one row of ordinary length, 0.0 where `exact`; `never_more_than_bytes` says that no text
    has more tokens than UTF-8 bytes and one; `why` says why it is an estimate.
    """

    @property
    def name(self) -> str: ...
    @property
    def exact(self) -> bool: ...
    @property
    def error(self) -> float: ...
    @property
    def never_more_than_bytes(self) -> bool: ...
    @property
    def why(self) -> str | None: ...

    def count(self, texts: Sequence[str]) -> list[int]: ...


class TokenizerCounter:
    """By a `tokenizer.json`, without the special tokens of its own template."""

    exact = True
    error = 0.0
    why = None

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = Path(path).parent.name if Path(path).name == "tokenizer.json" else Path(path).name
        self._loaded: Any = None
        self._bounded: bool | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenizerCounter, (self.path,)

    @property
    def never_more_than_bytes(self) -> bool:
        if self._bounded is None:  # these normalisers may write one character as many
            content = Path(self.path).read_bytes()
            self._bounded = not any(word in content for word in (b'"NFKC"', b'"NFKD"', b'"NFD"', b'"Precompiled"'))
        return self._bounded

    def count(self, texts: Sequence[str]) -> list[int]:
        tokenizer = self._tokenizer()
        counts: list[int] = []
        for part in _parts(texts):
            try:
                made = tokenizer.encode_batch_fast(part, add_special_tokens=False)
            except (UnicodeEncodeError, TypeError):  # a lone surrogate: no tokenizer has one
                made = tokenizer.encode_batch_fast([_whole(text) for text in part], add_special_tokens=False)
            counts.extend(map(len, made))
        return counts

    def _tokenizer(self) -> Any:
        if self._loaded is None:
            from tokenizers import Tokenizer

            self._loaded = Tokenizer.from_file(self.path)
            self._loaded.no_truncation()
            self._loaded.no_padding()
        return self._loaded


class TiktokenCounter:
    """By one of OpenAI's published encodings. A text over 100,000 characters is cut, which may add a token at each cut."""

    exact = True
    error = 0.0
    why = None
    never_more_than_bytes = True

    def __init__(self, encoding: str) -> None:
        self.name = encoding
        self._loaded: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return TiktokenCounter, (self.name,)

    def count(self, texts: Sequence[str]) -> list[int]:
        if self._loaded is None:
            import tiktoken

            self._loaded = tiktoken.get_encoding(self.name)
        encode = self._loaded.encode_ordinary
        return [
            len(encode(text))
            if len(text) <= _PIECE
            else sum(len(encode(text[at : at + _PIECE])) for at in range(0, len(text), _PIECE))
            for text in texts
        ]


class EstimateCounter:
    """Adds up a weight for each character by its script, so that it needs no vocabulary and reads more than 100 MB a second.

    The weights are a least-squares fit to o200k_base over pieces of 600 characters: English prose, chat, code, JSON, a manual
    in 19 languages and interface texts in 40. Of these pieces, nine in ten are estimated within 12 % for English and chat, 25 %
    for code and JSON, 20 % for the manual and 35 % for the other languages' interface texts; long hexadecimal or base64 up to
    47 % too low. Each language's whole: 3 % for English and code, 15 % for others. Vocabularies made before 2024 need 1.1 to
    1.5 times as many tokens for European languages, and 2 to 5 times as many for other scripts.
    """

    exact = False
    error = 0.2
    never_more_than_bytes = True

    def __init__(self, characters_per_token: float | None = None, why: str | None = None) -> None:
        self.characters_per_token = characters_per_token
        self.why = why or "no tokenizer of the model is at hand"
        self.name = "estimate by script" + (
            f", {characters_per_token:g} characters a token" if characters_per_token else ""
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return EstimateCounter, (self.characters_per_token, self.why)

    @property
    def scale(self) -> float:
        """The target's own characters per token (of English) against those of the fit."""
        return _ENGLISH / self.characters_per_token if self.characters_per_token else 1.0

    def count(self, texts: Sequence[str]) -> list[int]:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        made = np.ceil(weigh(b"".join(encoded), lengths) * self.scale).astype(np.int64)
        counts: list[int] = made.tolist()
        return counts


def counter_for(target: Target | None) -> Counter:
    """The best counter for a target on this machine."""
    if target is None:
        return EstimateCounter()
    if target.tokenizer:
        path = Path(target.tokenizer)
        path = path / "tokenizer.json" if path.is_dir() else path
        if not path.is_file():
            return EstimateCounter(target.characters_per_token, f"there is no {path.name} where the model lies")
        if importlib.util.find_spec("tokenizers") is None:
            return EstimateCounter(target.characters_per_token, "the package tokenizers is not installed")
        return TokenizerCounter(str(path))
    encoding = _encoding(target)
    if encoding is not None:
        if _cached(encoding):
            return TiktokenCounter(encoding)
        return EstimateCounter(target.characters_per_token, f"tiktoken's {encoding} is not on this machine")
    return EstimateCounter(target.characters_per_token)


def weigh(blob: bytes, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Estimated tokens of each of the texts whose UTF-8 bytes stand in `blob` one after another."""
    result = np.zeros(len(lengths), np.float64)
    filled = np.flatnonzero(lengths)
    if not len(filled):
        return result
    weights = np.frombuffer(blob.translate(_LEAD), np.uint8)  # hundredths
    if not blob.isascii():  # where the lead byte does not tell the script, the next one does
        data = np.frombuffer(blob, np.uint8)
        weights = weights.copy()
        for lead, table in _SECOND.items():
            at = np.flatnonzero(data[:-1] == lead)
            weights[at] = table[data[at + 1]]
    starts = np.cumsum(lengths) - lengths
    result[filled] = np.add.reduceat(weights, starts[filled], dtype=np.int64) / 100
    return result


def _encoding(target: Target) -> str | None:
    """OpenAI's encoding of the target's model, as tiktoken's own table gives it."""
    backend, _, model = target.model.partition(":")
    if backend not in {"openai", "azure"} or importlib.util.find_spec("tiktoken") is None:
        return None
    import tiktoken

    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    return name if name in _TIKTOKEN else None


def _cached(encoding: str) -> bool:
    """Whether tiktoken will find this encoding, whole, in its cache; else it would download it."""
    address, digest = _TIKTOKEN[encoding]
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    folder = str(Path(tempfile.gettempdir()) / "data-gym-cache") if folder is None else folder
    if not folder:
        return False
    path = Path(folder) / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= _AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


_ENGLISH = 4.71  # characters per token of English prose by the weights below

_SCRIPTS = (  # first and last lead byte of UTF-8, hundredths of a token for each character
    (0xC2, 0xC2, 180), (0xC3, 0xC3, 84), (0xC4, 0xCB, 130), (0xCC, 0xCD, 150), (0xCE, 0xCF, 37), (0xD0, 0xD3, 26),
    (0xD4, 0xD6, 40), (0xD7, 0xD7, 44), (0xD8, 0xDB, 35), (0xDC, 0xDF, 80), (0xE0, 0xE0, 42), (0xE1, 0xE1, 60),
    (0xE2, 0xE2, 132), (0xE3, 0xE3, 75), (0xE4, 0xE9, 75), (0xEA, 0xED, 67), (0xEE, 0xEF, 90), (0xF0, 0xF4, 134),
)  # fmt: skip


def _lead() -> bytes:
    """Weights for each byte: of ASCII for the character, of others for the lead byte; continuation bytes have none."""
    table = bytearray(256)
    table[:128] = bytes([61] * 128)
    for characters, weight in (
        (string.ascii_lowercase, 21),
        (string.ascii_uppercase, 41),
        (string.digits, 57),
        (".,;:!?'\"-", 80),
        ("\n\t\r", 32),
        (" ", 4),
    ):
        for character in characters:
            table[ord(character)] = weight
    for first, last, weight in _SCRIPTS:
        table[first : last + 1] = bytes([weight] * (last + 1 - first))
    return bytes(table)


def _second(*ranges: tuple[int, int, int], other: int) -> NDArray[np.uint8]:
    table = np.full(256, other, np.uint8)
    for first, last, weight in ranges:
        table[first : last + 1] = weight
    return table


_LEAD = _lead()
_SECOND = {
    0xE0: _second((0xA4, 0xA5, 39), (0xB0, 0xB3, 47), (0xB4, 0xB5, 39), (0xBA, 0xBF, 80), other=42),
    0xE1: _second((0x80, 0x82, 58), (0x83, 0x83, 37), (0x9E, 0x9F, 58), other=60),
    0xE3: _second((0x80, 0x80, 100), (0x81, 0x83, 61), other=75),
}
