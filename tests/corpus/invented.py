"""Keys and numbers that pass their checksums and belong to nobody: drawn from a seed, and put together at run time only, so
that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import json
import random
import string
import zlib

_ALNUM = string.ascii_letters + string.digits


class Invented:
    """Sensitive values for one seed."""

    def __init__(self, seed: int | str) -> None:
        self.rng = random.Random(f"invented {seed}")

    def some(self, alphabet: str, count: int) -> str:
        return "".join(self.rng.choice(alphabet) for _ in range(count))

    def digits(self, count: int) -> str:
        return self.some(string.digits, count)

    # Keys
    def aws_key_id(self) -> str:
        return "AK" + "IA" + self.some(string.ascii_uppercase + "234567", 16)

    def aws_secret(self) -> str:
        return self.some(_ALNUM + "/+", 40)

    def github_token(self) -> str:
        body = self.some(_ALNUM, 30)
        number, check = zlib.crc32(body.encode()), ""
        base62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
        for _ in range(6):
            number, place = divmod(number, 62)
            check = base62[place] + check
        return "gh" + "p_" + body + check

    def openai_key(self) -> str:
        return "sk" + "-" + self.some(_ALNUM, 20) + "T3Blbk" + "FJ" + self.some(_ALNUM, 20)

    def anthropic_key(self) -> str:
        return "sk-" + "ant-" + "api03-" + self.some(_ALNUM + "-_", 93) + "AA"

    def google_key(self) -> str:
        return "AI" + "za" + self.some(_ALNUM + "-_", 35)

    def slack_token(self) -> str:
        return "xo" + "xb-" + "-".join((self.digits(12), self.digits(12), self.some(_ALNUM, 24)))

    def stripe_key(self) -> str:
        return "sk_" + "live_" + self.some(_ALNUM, 24)

    def hugging_face_token(self) -> str:
        return "h" + "f_" + self.some(string.ascii_letters, 34)

    def jwt(self) -> str:
        def part(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

        head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = part(json.dumps({"sub": self.digits(8), "role": "clerk", "iat": 1_760_000_000}).encode())
        return f"{head}.{body}.{part(self.rng.randbytes(32))}"

    def private_key(self) -> str:
        kind = "RSA PRIVATE " + "KEY"
        body = base64.b64encode(self.rng.randbytes(600)).decode()
        cut = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
        return f"-----BEGIN {kind}-----\n{cut}\n-----END {kind}-----"

    def password_url(self) -> tuple[str, str]:
        """A database's address with its password, and the password."""
        word = self.some(_ALNUM, 14)
        return f"postgres://reporting:{word}@db.halden-moss.test:5432/orders", word

    # Numbers
    def card(self, prefix: str, length: int) -> str:
        body = prefix + self.digits(length - len(prefix) - 1)
        return body + luhn_digit(body)

    def iban(self, country: str, length: int, bank: str = "") -> str:
        body = bank + self.digits(length - 4 - len(bank))
        check = 98 - int(_letters_to_numbers(body + country + "00")) % 97
        return f"{country}{check:02}{body}"

    def us_ssn(self) -> str:
        return f"{self.rng.randint(775, 890)}-{self.rng.randint(10, 98)}-{self.rng.randint(1000, 9899)}"

    def german_tax_id(self) -> str:
        """Eleven digits: among the first ten exactly one occurs twice and one is absent; ISO 7064 MOD 11,10."""
        ten = list(string.digits[1:])
        self.rng.shuffle(ten)
        ten.insert(self.rng.choice((3, 5, 7)), ten[0])
        product = 10
        for digit in ten:
            total = (int(digit) + product) % 10 or 10
            product = total * 2 % 11
        return "".join(ten) + str((11 - product) % 10)

    def spanish_dni(self) -> str:
        number = int("7" + self.digits(7))
        return f"{number:08}" + "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]

    def brazilian_cpf(self) -> str:
        body = self.digits(9)
        for _ in range(2):
            total = sum(int(digit) * weight for digit, weight in zip(body, range(len(body) + 1, 1, -1), strict=True))
            body += str(total * 10 % 11 % 10)
        return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"

    def indian_aadhaar(self) -> str:
        body = self.rng.choice("23456789") + self.digits(10)
        text = body + _verhoeff(body)
        return f"{text[:4]} {text[4:8]} {text[8:]}"

    def french_nir(self) -> str:
        place = f"75{self.rng.randint(100, 899)}{self.rng.randint(100, 899)}"
        body = f"2{self.rng.randint(50, 99)}{self.rng.randint(1, 12):02}{place}"
        return body + f"{97 - int(body) % 97:02}"

    def british_nino(self) -> str:
        return f"JW {self.rng.randint(10, 99)} {self.rng.randint(10, 99)} {self.rng.randint(10, 99)} C"


def luhn_digit(body: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def grouped(number: str, size: int = 4, by: str = " ") -> str:
    return by.join(number[i : i + size] for i in range(0, len(number), size))


def _letters_to_numbers(text: str) -> str:
    return "".join(str(int(c, 36)) for c in text)


_D = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_P = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def _verhoeff(body: str) -> str:
    check = 0
    for place, digit in enumerate(reversed(body), 1):
        check = int(_D[check][int(_P[place % 8][int(digit)])])
    return "0432156789"[check]
