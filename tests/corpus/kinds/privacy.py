# ruff: noqa: E501 - a table reads better in one line a row
"""Keys and personal numbers: found, and never shown in full."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus import dialects as d
from tests.corpus.clean import GEMINI, OPENAI, base
from tests.corpus.invented import Invented, grouped
from tests.corpus.plant import Planted, edit, plants, within

from tuneport import DPO, ContinuedPretraining

_QUESTION, _ANSWER, _SYSTEM = "messages[1].content", "messages[2].content", "messages[0].content"


def value(name: str, code: str, secret: str, sentence: str, *says: str, where: str = _QUESTION, row: int = 41, hides: str | None = None, **options: Any) -> None:  # fmt: skip
    """`sentence` with `secret` in it, put into a message."""
    arguments: dict[str, Any] = {"target": OPENAI} | options
    edit(
        name,
        code,
        where,
        within(sentence.replace("@@", secret)),
        row=row,
        says=says,
        hides=hides or secret,
        **arguments,
    )


_made = Invented(1)
_S = "privacy.secret"
value("aws-key-id", _S, _made.aws_key_id(), "Our script signs in as @@ now.", "AWS", row=4)
value(
    "aws-secret",
    _S,
    _made.aws_secret(),
    "The file says aws_secret_access_key = @@ and the bucket is ours.",
    "AWS|secret|key",
    row=5,
)
value("github-token", _S, _made.github_token(), "I used @@ to push the labels.", "GitHub", row=6, where=_ANSWER)
value("openai-key", _S, _made.openai_key(), "The assistant runs with @@ at the moment.", "OpenAI", row=7)
value("anthropic-key", _S, _made.anthropic_key(), "Set it to @@ and restart.", "Anthropic|API key|key", row=8)
value("google-key", _S, _made.google_key(), "The map loads with key=@@ in the address.", "Google|GCP|API key", row=9)
value("slack-token", _S, _made.slack_token(), "Post to the channel with @@ as before.", "Slack", row=10)
value("stripe-key", _S, _made.stripe_key(), "Refunds go through @@ today.", "Stripe", row=11)
value("hugging-face-token", _S, _made.hugging_face_token(), "Download it with @@ first.", "Hugging ?Face|token", row=12)
value(
    "jwt",
    _S,
    _made.jwt(),
    "The header reads Authorization: Bearer @@ on each call.",
    "JWT|JSON Web Token|bearer|token",
    row=13,
)
_key = _made.private_key()
value(
    "private-key",
    _S,
    _key,
    "Here is the key:\n\n@@\n\nPlease install it.",
    "private key",
    row=14,
    hides=_key.splitlines()[3],
)
_url, _word = _made.password_url()
value(
    "password-in-address",
    _S,
    _url,
    "It connects to @@ at night.",
    "password|credential|basic auth",
    row=15,
    hides=_word,
)
value("password-in-words", _S, "Vq7#mTz2!rLw", "My password is @@ in case you need it.", "password", row=16)
value(
    "password-assigned",
    _S,
    "kR9-vTq2wZx8",
    'The settings say DB_PASSWORD="@@" in the second line.',
    "password|secret|keyword",
    row=17,
)
value("key-in-system-turn", _S, _made.aws_key_id(), "Sign in as @@ if asked.", "AWS", where=_SYSTEM, row=18)
value(
    "key-in-vertex",
    _S,
    _made.github_token(),
    "I used @@ to push.",
    "GitHub",
    row=19,
    where="contents[0].parts[0].text",
    written=d.vertex,
    target=GEMINI,
)
value("key-in-alpaca", _S, _made.slack_token(), "Post with @@ then.", "Slack", row=20, where="output", written=d.alpaca)
value("key-in-rejected-answer", _S, _made.stripe_key(), "Use @@ yourself.", "Stripe", row=21, of="preferences", objective=DPO(),
      where="non_preferred_output[0].content")  # fmt: skip
value("key-in-text", _S, _made.google_key(), "The map loads with key=@@ there.", "Google|GCP|API key", row=22, of="texts", where="text",
      target=None, objective=ContinuedPretraining())  # fmt: skip
_inside = _made.github_token()
edit("key-in-tool-arguments", _S, "messages[2].tool_calls[0].function.arguments", lambda old: json.dumps(json.loads(old) | {"query": f"lamp {_inside}"}),
     of="tools", row=44, says="GitHub", hides=_inside, target=OPENAI)  # fmt: skip
_result = _made.aws_key_id()
edit("key-in-tool-result", _S, "messages[3].content", json.dumps({"state": "sent", "user": _result}), of="tools", row=45, says="AWS",
     hides=_result, target=OPENAI)  # fmt: skip

_C = "privacy.card"
_visa, _master, _amex = _made.card("4999", 16), _made.card("5399", 16), _made.card("3799", 15)
value("card", _C, _visa, "I paid with @@ last week.", "card", row=23)
value("card-with-spaces", _C, grouped(_made.card("4999", 16)), "I paid with @@ last week.", "card", row=24)
value("card-with-hyphens", _C, grouped(_master, by="-"), "My card is @@ until 09/29.", "card", row=25)
value(
    "card-amex",
    _C,
    f"{_amex[:4]} {_amex[4:10]} {_amex[10:]}",
    "Charge @@ again, please.",
    "card",
    row=26,
    where=_ANSWER,
)
value("card-for-nobody-else", _C, _made.card("4999", 16), "I paid with @@ last week.", "card", row=27, target=None)

_N = "privacy.identity-number"
value("ssn", _N, _made.us_ssn(), "My social security number is @@ as asked.", "SSN|social security", row=28)
value(
    "german-tax-id",
    _N,
    _made.german_tax_id(),
    "Die Steuer-ID lautet @@ und steht im Bescheid.",
    "tax|steuer|IdNr|identity",
    row=29,
)
value("spanish-dni", _N, _made.spanish_dni(), "Mi DNI es @@ por si hace falta.", "DNI|identity", row=30)
value("brazilian-cpf", _N, _made.brazilian_cpf(), "O meu CPF é @@ se precisar.", "CPF|identity", row=31)
value("indian-aadhaar", _N, _made.indian_aadhaar(), "My Aadhaar number is @@ for the form.", "Aadhaar|identity", row=32)
value(
    "french-nir",
    _N,
    _made.french_nir(),
    "My French social security number is @@ by the way.",
    "NIR|social security|identity|INSEE",
    row=33,
)
value(
    "british-nino",
    _N,
    _made.british_nino(),
    "My National Insurance number is @@ here.",
    "National Insurance|NINO|identity",
    row=34,
)

_B = "privacy.bank-account"
value("iban", _B, _made.iban("DE", 22, "99912300"), "Please refund to @@ instead.", "IBAN", row=35)
value("iban-with-spaces", _B, grouped(_made.iban("DE", 22, "99912300")), "Please refund to @@ instead.", "IBAN", row=36)
value(
    "iban-dutch", _B, _made.iban("NL", 18, "ZZZZ"), "My account is @@ at the old bank.", "IBAN", row=37, where=_ANSWER
)
value("iban-norwegian", _B, _made.iban("NO", 15), "My account is @@ at the old bank.", "IBAN", row=38)

value(
    "email",
    "privacy.email",
    "maren" + "." + "kvist@kvist-lindqvist-tischlerei" + ".com",
    "Write to @@ please.",
    "e-?mail",
    row=39,
)
value(
    "email-of-staff",
    "privacy.email",
    "o.ekwueme" + "@" + "halden-moss-lager" + ".de",
    "Ask @@ for it.",
    "e-?mail",
    row=40,
    where=_ANSWER,
)
value("phone-us", "privacy.phone", "+1 (212) " + "555-7342", "Call me on @@ after six.", "phone", row=42)
value("phone-uk", "privacy.phone", "+44 20 " + "7946 0958", "Call me on @@ after six.", "phone", row=43)
value("phone-de", "privacy.phone", "030 " + "23125 456", "Meine Telefonnummer ist @@ bis sechs.", "phone", row=44)
value("ip-address", "privacy.ip-address", "81.2." + "69.142", "The log shows @@ at that hour.", "IP", row=45)


def _repeated(row: int, make: Callable[[], str]) -> None:
    @plants("two-cards-in-two-rows", _C, target=OPENAI)
    def _plant(folder: Path) -> Planted:
        """A second card is named as well as the first."""
        rows = base("support")
        for number in (3, row):
            turn = rows[number - 1]["messages"][1]
            turn["content"] += f" I paid with {make()}."
        return Planted(d.save(folder, d.jsonl(rows)), row, (_QUESTION,), ("card",))


_repeated(111, lambda: _made.card("4999", 16))
