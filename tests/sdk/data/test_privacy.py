"""What of a row is found to be secret or personal, what is not, and that nobody is shown it."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneport.dataset.checks.base import Context, Findings, Target
from tuneport.dataset.checks.contacts import ends
from tuneport.dataset.checks.numbers import FORMS, RULES
from tuneport.dataset.checks.privacy import PLACEHOLDERS, PrivacyCheck, find, redact, redact_row
from tuneport.dataset.rows import Batch, Row

LETTERS = "q7Rw2Zk9Lm4Xv8Tb3Np6Hd1Yc5Gf0Js"
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def letters(size: int) -> str:
    return (LETTERS * (size // len(LETTERS) + 1))[:size]


SECRETS = [
    "AKIA" + "5QZJ7WXK3MNP2RTV",
    "AKIA" + "QZJSWXKLMNPBRTVC",  # one in thirty has no digit
    "sk-ant-" + "api03-" + letters(90) + "AA",
    "sk-proj-" + letters(48),
    "sk-" + letters(48),
    "sk-or-v1-" + HEX,
    "ghp_" + letters(36),
    "github_pat_" + letters(22) + "_" + letters(59),
    "glpat-" + letters(20),
    "xoxb-" + "123456789012-123456789012-" + letters(24),
    "sk_live_" + letters(24),
    "rk_test_" + letters(24),
    "whsec_" + letters(32),
    "AIza" + letters(35),
    "GOCSPX-" + letters(28),
    "hf_" + "".join(c for c in letters(80) if c.isalpha())[:34],
    "SG." + letters(22) + "." + letters(43),
    "SK" + HEX[:32],
    "key-" + HEX[:32],
    "npm_" + letters(36),
    "pypi-AgEIcHlwaS5vcmc" + letters(70),
    "dckr_pat_" + letters(27),
    "dop_v1_" + HEX,
    "dapi" + HEX[:32],
    "shpat_" + HEX[:32],
    "sq0atp-" + letters(22),
    "ntn_" + "12345678901" + letters(35),
    "lin_api_" + letters(40)[:40],
    "pat" + letters(14) + "." + HEX,
    "glsa_" + letters(32) + "_" + HEX[:8],
    "hvs." + letters(95),
    "dp.pt." + letters(43),
    "gsk_" + letters(52),
    "1234567890:AA" + letters(33),
    "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoiYWxpY2UiLCJpZCI6NDJ9.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4x",
    "https://hooks.slack.com/services/T0" + letters(9).upper() + "/B0" + letters(9).upper() + "/" + letters(24),
    "https://discord.com/api/webhooks/123456789012345678/" + letters(68),
]  # fmt: skip
# a text and the part of it that is secret
TOLD = [
    ("password: Tr0ub4dor&3x", "Tr0ub4dor&3x"),
    ("My password is kT9-mmQ2!v please reset it", "kT9-mmQ2!v"),
    ('PASSWORD = "Zx81_Spectrum_48k"', "Zx81_Spectrum_48k"),
    ("export DB_PASSWD=gR7wq0PmLs22", "gR7wq0PmLs22"),
    ("pwd=Winter2031!Snow", "Winter2031!Snow"),
    (
        "aws_secret_access_key = " + "wJ4rXUtn5EMI9K7MDENGybPxRf3CYzQ8L1pV6sT0",
        "wJ4rXUtn5EMI9K7MDENGybPxRf3CYzQ8L1pV6sT0",
    ),
    ('"api_key": "' + letters(32) + '"', letters(32)),
    ("Authorization: Bearer " + letters(40), letters(40)),
    ("AccountKey=" + letters(86) + "==", letters(86) + "=="),
    ("client_secret=" + letters(30), letters(30)),
    ("postgres://admin:pa55w0rdX9@db.internal:5432/prod", "pa55w0rdX9"),
]
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(letters(64) for _ in range(6)) + "\n-----END RSA PRIVATE KEY-----"

CARDS = [
    "4539 1488 0343 6467", "4539148803436467", "4539-1488-0343-6467", "5425 2334 5010 9916", "2221 0012 3412 3450",
    "3728 496353 98431", "372849635398431", "6011 6011 6011 6611", "3569 9900 1009 5841",
]  # fmt: skip
# by python-stdnum's module: a number that it calls valid, and what must be said near it
NUMBERS = {
    "us.ssn": ("536-90-4399", "SSN"), "us.itin": ("912-90-3456", "ITIN"), "gb.nhs": ("943 476 5870", "NHS number"),
    "de.idnr": ("36 574 261 809", "Steuer-ID"), "fr.nir": ("2 95 10 99 126 111 93", ""), "nl.bsn": ("1112.22.333", "BSN"),
    "pl.pesel": ("44051401359", "PESEL"), "br.cpf": ("390.533.447-05", ""), "in_.aadhaar": ("2341 2341 2346", "Aadhaar"),
    "cn.ric": ("360426199101010071", ""), "ca.sin": ("123-456-782", "SIN"), "au.tfn": ("123 456 782", "TFN"),
    "se.personnummer": ("880320-0016", "personnummer"), "dk.cpr": ("211062-5629", "CPR"),
    "no.fodselsnummer": ("151086 95088", "fødselsnummer"), "be.nn": ("85.07.30-033.28", ""), "ch.ssn": ("756.9217.0769.85", ""),
    "at.vnr": ("1237 010180", "Sozialversicherungsnummer"), "pt.nif": ("501964843", "NIF"), "kr.rrn": ("971013-9019902", ""),
    "jp.in_": ("6214 9832 0257", "マイナンバー"), "za.idnr": ("7503305044089", "identity number"),
    "tr.tckimlik": ("17291716060", "T.C. Kimlik"), "ro.cnp": ("1630615123457", "CNP"), "bg.egn": ("8032056031", "ЕГН"),
    "cz.rc": ("710319/2745", ""), "gr.amka": ("01013099997", "AMKA"), "il.idnr": ("039337423", "Israeli ID"),
    "lt.asmens": ("33309240064", "asmens kodas"), "ee.ik": ("36805280109", "isikukood"),
    "lv.pvn": ("161175-19997", "personas kods"),
    "ua.rntrc": ("1759013776", "РНОКПП"), "ru.inn": ("123456789047", "ИНН"), "hr.oib": ("33392005961", "OIB"),
    "si.emso": ("0101006500006", "EMŠO"), "ar.cuit": ("20-05536168-2", ""), "ar.dni": ("20.123.456", "DNI"),
    "ec.ci": ("1714307103", "cédula"), "th.pin": ("1-2345-45678-78-1", ""), "my.nric": ("770305-02-1234", ""),
    "id.nik": ("3171011708450001", "NIK"), "pk.cnic": ("34201-0891231-8", ""), "fi.hetu": ("131052-308T", "henkilötunnus"),
    "it.codicefiscale": ("RCCMNL83S18D969H", ""), "mx.curp": ("BOXW310820HNERXN09", ""), "es.nie": ("X2482300W", "NIE"),
    "es.dni": ("54362315K", "DNI"), "ie.pps": ("6433435F", "PPS number"),
}  # fmt: skip
OTHERS = [
    ("national insurance number AB123456C", "AB123456C"), ("NI: AB 12 34 56 C", "AB 12 34 56 C"),
    ("passport 533380006", "533380006"), ("my passport is C01X00T47", None), ("NRIC S1234567D", "S1234567D"),
    ("n° de sécu 253072A07300443", "253072A07300443"),
]  # fmt: skip
BANKS = [
    ("DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"), ("IBAN: GB82WEST12345698765432.", "GB82WEST12345698765432"),
    ("pay to FR14 2004 1010 0505 0001 3M02 606 today", "FR14 2004 1010 0505 0001 3M02 606"),
    ("MT84 MALT 0110 0001 2345 MTLC AST0 01S", "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
    ("routing number 111000025", "111000025"), ("sort code 20-00-00", "20-00-00"), ("BSB 062-000", "062-000"),
    ("my bank account number is 123456789012", "123456789012"), ("CCC 1234-1234-16-1234567890", "1234-1234-16-1234567890"),
    ("CBU 2850590940090418135201", "2850590940090418135201"), ("kontonummer 8601 11 17947", "8601 11 17947"),
    ("01-0242-0100194-00", "01-0242-0100194-00"),
]  # fmt: skip
CONTACTS = [
    ("email", "write to bob.smith+tag@gmail.com.", "bob.smith+tag@gmail.com"),
    ("email", "josé@correo.es", "josé@correo.es"),
    ("phone", "call +49 151 12345678 now", "+49 151 12345678"),
    ("phone", "(415) 867-5309", "(415) 867-5309"),
    ("phone", "415-867-5309", "415-867-5309"),
    ("phone", "Telefon 030 901820", "030 901820"),
    ("ip-address", "from 93.184.216.34 at noon", "93.184.216.34"),
    ("ip-address", "2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::200e"),
]
PLANTED = [
    *((f"use {s} here", s, "secret") for s in SECRETS if not s.startswith("https")),
    *((f"post to {s} here", s.removeprefix("https://"), "secret") for s in SECRETS if s.startswith("https")),
    *((text, value, "secret") for text, value in TOLD),
    (PEM, PEM, "secret"),
    *((f"my card is {c}, thanks", c, "card") for c in CARDS),
    *((f"{c} 12/27 123", c, "card") for c in CARDS if " " in c),
    *((f"{near} {number}.", number, "identity-number") for number, near in NUMBERS.values()),
    *((text, value, "identity-number") for text, value in OTHERS if value),
    *((text, value, "bank-account") for text, value in BANKS),
    *((text, value, kind) for kind, text, value in CONTACTS),
]

ORDINARY = """\
Hi Maria, thanks for reaching out! Your order 1234567890123 shipped on 2024-01-15 at 10:30:45.
Order number 4532015112830366 is late.
Tracking no. 4539148803436467
See https://shop.com/item/4539148803436467?ref=1
The test card 4111 1111 1111 1111 works, and so does 4242424242424242 or 5555 5555 5555 4444.
Set OPENAI_API_KEY=sk-... or sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx and api_key="YOUR_API_KEY" in the file.
aws_access_key_id = AKIAIOSFODNN7EXAMPLE and aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
Write to support@example.com, admin@example.org or me@mail.example; ssh git@github.com:me/repo.git; logo@2x.png
Call 555-0123 or (212) 555-0199.
id 550e8400-e29b-41d4-a716-446655440000, token: 550e8400-e29b-41d4-a716-446655440000
sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad
version 1.2.3.4, v10.20.30.40, 192.168.1.1, 10.0.0.7, 127.0.0.1, 192.0.2.1, 2001:db8::1, ::1, fe80::1, 8.8.8.8
The password must be at least 8 characters. Your password: ******** password = os.environ["PASSWORD"] passwd=getpass()
password: changeme123 password=<your-password> secret = {{ secrets.TOKEN_2024 }} token=$GITHUB_TOKEN
max_tokens: 4096, tokenizer: gpt2, secret: to be defined, key: value, api key: see the docs
The years 2019 2020 2021 2022 2023 and the numbers 1234 5678 9012 3456 7890.
Pi is 3.14159265358979, phi 1.61803398874989, population 8,045,311,447, price $1,234,567.89
ISBN 978-3-16-148410-0, EAN 4006381333931, IMEI 490154203237518, ticket #490154203237518
Timestamp 1700000000, 1700000000000, 1700000000000000, 1700000000000000000
Patent US1234567B2, room B12345678, part ABC-12345-XYZ, 12345678Z without a word, DE12345678
user:pass@ is not an address, http://user:password@host/ is a template, https://me:<token>@github.com
std::vector::iterator a::b::c 12:30:45 00:1a:2b:3c:4d:5e
Berlin 10115, tel extension 42, 3-2-4 formation, 12-34-5678 is no SSN, 000-12-3456 neither
scikit: sk-learn-contrib-imbalanced-learning-2024 and task-force-2030-objective-planning-42
"""


def check(row: Any, **context: Any) -> tuple[Findings, dict[str, Any], Row]:
    made = Row(7, row, orjson.dumps(row), "openai", "chat", row)
    return (*scanned([made], **context), made)


def scanned(rows: list[Row], **context: Any) -> tuple[Findings, dict[str, Any]]:
    checking = PrivacyCheck(Context(**context))
    findings = Findings(source="data.jsonl")
    checking.reduce(checking.scan(Batch("data.jsonl", "train", rows), findings))
    return findings, checking.finish(findings)


def chat(content: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "Done."}]}


@pytest.mark.parametrize(
    ("text", "value", "kind"), PLANTED, ids=[f"{kind}-{i}" for i, (_, _, kind) in enumerate(PLANTED)]
)
def test_what_is_planted_is_found_where_it_stands_and_never_shown(text: str, value: str, kind: str) -> None:
    found = [match for match in find(text) if match.kind == kind]
    assert [text[match.start : match.end] for match in found] == [value]
    row = chat("Hello!\n" + text)
    findings, stats, _ = check(row)
    issues = [issue for issue in findings.issues if issue.code == f"privacy.{kind}"]
    assert [(issue.row, issue.path) for issue in issues] == [(7, "messages[0].content")]
    assert stats["found"][kind] == 1
    everything = "".join(issue.model_dump_json() for issue in findings.issues) + json.dumps(stats) + repr(find(text))
    assert value not in everything
    digits = re.sub(r"\D", "", value)
    assert len(digits) < 5 or digits not in re.sub(r"\D", "", everything)
    redacted, kinds = redact(text)
    assert kind in kinds
    assert value not in redacted
    assert PLACEHOLDERS[kind] in redacted


@pytest.mark.parametrize("line", ORDINARY.splitlines())
def test_what_is_ordinary_raises_nothing(line: str) -> None:
    assert [(match.kind, match.what, line[match.start : match.end]) for match in find(line)] == []
    findings, _, _ = check(chat(line))
    assert findings.issues == []


def test_every_rule_has_a_number_in_these_tests() -> None:
    modules = {rule.module for rule in RULES if rule.kind == "identity-number"} | {form.module for form in FORMS}
    assert modules - {""} == set(NUMBERS)


@pytest.mark.parametrize("module", [m for m, (_, near) in NUMBERS.items() if near and m != "us.ssn" and m != "us.itin"])
def test_a_weak_number_needs_its_word(module: str) -> None:
    assert [m for m in find(f"the value {NUMBERS[module][0]} was printed") if m.kind == "identity-number"] == []


@pytest.mark.parametrize(("text", "value", "kind"), PLANTED[::3])
def test_the_one_pass_over_bytes_misses_nothing_that_the_detectors_find(text: str, value: str, kind: str) -> None:
    row = chat(f"– {text}")  # a dash that json escapes
    for raw in (
        orjson.dumps(row),
        json.dumps(row).encode(),
        json.dumps(row).replace("/", "\\/").encode(),
        json.dumps(row).replace("@", "\\u0040").encode(),
        b"",
    ):
        findings, _ = scanned([Row(1, row, raw, "openai", "chat", row)])
        assert f"privacy.{kind}" in findings.counts, raw[:40]


@pytest.mark.parametrize(
    ("context", "severity"),
    [
        ({}, "error"),
        ({"target": Target("openai:gpt-4.1-mini")}, "error"),
        ({"target": Target("openai:gpt-4.1-mini"), "privacy": "redact"}, "warning"),
        ({"target": Target("openai:gpt-4.1-mini"), "privacy": "allow"}, "warning"),
        ({"target": Target("local:starter", cloud=False)}, "warning"),
    ],
)
def test_it_blocks_only_an_upload_that_nobody_chose(context: dict[str, Any], severity: str) -> None:
    text = f"card {CARDS[0]}, key {SECRETS[0]}, SSN 536-90-4399, {BANKS[0][0]}, me@gmail.com, 93.184.216.34"
    findings, stats, _ = check(chat(text), **context)
    assert {issue.code: issue.severity for issue in findings.issues} == {
        "privacy.secret": severity,
        "privacy.card": severity,
        "privacy.identity-number": severity,
        "privacy.bank-account": severity,
        "privacy.email": "warning",
        "privacy.ip-address": "info",
    }
    assert stats["privacy"] == context.get("privacy", "block")
    assert stats["rows_touched"] == stats["rows"] == 1


def test_everything_of_the_row_is_read_and_its_place_is_said() -> None:
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": f"card {CARDS[1]}"}]},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "function": {"name": "pay", "arguments": '{"ssn": "536904399"}'}}],
            },
        ],
        "tools": [{"function": {"name": "pay", "description": f"curl -H 'x-api-key: {SECRETS[6]}'"}}],
        "metadata": {"card": 4539148803436467, "password": "Tr0ub4dor&3x", "who": "joe@gmail.com"},
    }
    findings, _, _ = check(row)
    assert {(issue.code, issue.path) for issue in findings.issues} == {
        ("privacy.card", "messages[0].content[0].text"),
        ("privacy.identity-number", "messages[1].tool_calls[0].function.arguments"),
        ("privacy.secret", "tools[0].function.description"),
        ("privacy.card", "metadata.card"),
        ("privacy.secret", "metadata.password"),
        ("privacy.email", "metadata.who"),
    }
    redacted, kinds = redact_row(row)
    assert sorted(kinds) == ["card", "card", "email", "identity-number", "secret", "secret"]
    assert json.loads(redacted["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"ssn": "[ID_NUMBER]"}
    assert redacted["metadata"] == {"card": "[CARD]", "password": "[SECRET]", "who": "[EMAIL]"}
    assert check(redacted)[0].issues == []


@pytest.mark.parametrize(
    ("text", "aws"),
    [
        ("aws_secret_access_key = @", True),
        ("AWS_SECRET_ACCESS_KEY=@", True),
        ("the secret for our amazon account is: @", False),  # too far from the word to be read as its value
        ('Amazon secret key: "@"', True),
        ("AKIAQ4TJZ7WMX2LBNRVD and secret: @", True),
        ("client_secret = @", False),
        ("the laws, and my secret: @", False),
    ],
)
def test_a_secret_beside_the_name_of_aws_is_told_to_be_likely_one_of_its_keys(text: str, aws: bool) -> None:
    secret = letters(20) + "7/" + letters(18)
    matches = [match for match in find(text.replace("@", secret)) if match.masked == "…"]
    assert [match.what for match in matches] in ([], ["key or token (likely of AWS)"] if aws else ["key or token"])
    assert matches or not aws


def test_many_in_one_text_are_one_issue_and_all_counted() -> None:
    findings, stats, _ = check(chat("a1@gmail.com b2@gmail.com c3@gmail.com"))
    assert len(findings.issues) == 1
    assert "2 more" in findings.issues[0].message
    assert stats["found"] == {"email": 3}


def test_published_examples_are_counted_and_raise_nothing() -> None:
    findings, stats, _ = check(chat("4111 1111 1111 1111 with AKIAIOSFODNN7EXAMPLE"))
    assert findings.issues == []
    assert stats["examples"] == 2


def test_an_image_is_not_read_as_text_and_what_stands_beside_it_is() -> None:
    image = "data:image/png;base64," + "iVBORw0KGgo4539148803436467" * 50
    part = {"type": "image_url", "image_url": {"url": image}}
    assert check({"messages": [{"role": "user", "content": [part]}]})[0].issues == []
    text = f"![x]({image}) card {CARDS[0]}"
    assert redact(text)[0] == f"![x]({image}) card [CARD]"


@pytest.mark.parametrize("offset", [0, 30, 60, 90])
def test_nothing_is_lost_where_a_long_row_is_read_in_steps(offset: int) -> None:
    text = "é" * ((1 << 19) - offset) + f" {CARDS[0]} {SECRETS[0]} " + "é" * 1000
    findings, _, _ = check(chat(text))
    assert set(findings.counts) == {"privacy.card", "privacy.secret"}


def test_digits_of_other_scripts_are_digits() -> None:
    wide = CARDS[1].translate({ord(c): 0xFF10 + int(c) for c in string.digits})
    arabic = CARDS[1].translate({ord(c): 0x0660 + int(c) for c in string.digits})
    for text in (wide, arabic):
        findings, _, _ = check(chat(f"卡号 {text}"))
        assert list(findings.counts) == ["privacy.card"]
        assert redact(text)[0] == "[CARD]"


def test_json_in_a_text_stays_json() -> None:
    text = '{"card": 4539148803436467, "note": "to me@gmail.com, 4539148803436467, now"}'
    redacted, kinds = redact(text)
    assert json.loads(redacted) == {"card": "[CARD]", "note": "to [EMAIL], [CARD], now"}
    assert sorted(kinds) == ["card", "card", "email"]


def test_one_kind_can_be_redacted_alone() -> None:
    assert redact(f"{CARDS[0]} me@gmail.com", kinds=("card",)) == ("[CARD] me@gmail.com", ["card"])


def test_a_masked_value_shows_four_characters_at_most() -> None:
    assert ends("4539148803436467") == "45…67"
    assert ends("1234567") == "…"


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "a",
        "@",
        ".",
        ":",
        "-",
        " ",
        "1 ",
        "1-",
        "a.",
        "A1",
        "sk-",
        "eyJ",
        "password ",
        "+1",
        "a@",
        "12.",
        "é",
        "\0",
    ],
)
def test_a_megabyte_of_anything_is_read(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    assert redact(redact(text)[0])[0] == redact(text)[0]
    findings, stats, _ = check(chat(text))
    assert stats["rows"] == 1
    assert all(len(issue.message) < 300 for issue in findings.issues)


pieces = st.one_of(
    st.text(max_size=30),
    st.sampled_from([text for text, _, _ in PLANTED] + [value for _, value, _ in PLANTED]),
    st.sampled_from(
        [*ORDINARY.splitlines(), "password: ", "token=", "[CARD]", "[SECRET]", "://a:", "@", "data:a/b;base64,"]
    ),
    st.text(alphabet="0123456789 -./:@", max_size=40),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Nd", "Lu"]), max_size=20),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(pieces, max_size=8), st.sampled_from(["", " ", "\n", ","]))
def test_redacting_is_complete_and_changes_nothing_twice(parts: list[str], between: str) -> None:
    text = between.join(parts)
    for match in find(text):
        assert 0 <= match.start < match.end <= len(text)
    redacted, kinds = redact(text)
    assert find(redacted) == []
    assert redact(redacted) == (redacted, [])
    assert bool(kinds) == (redacted != text)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(pieces, max_size=6), st.sampled_from(["", " ", "\n"]), st.booleans())
def test_the_one_pass_agrees_with_the_detectors(parts: list[str], between: str, escaped: bool) -> None:
    text = between.join(parts)
    row = chat(text)
    findings, stats = scanned(
        [Row(1, row, json.dumps(row, ensure_ascii=escaped).encode("utf-8", "replace"), None, "chat", row)]
    )
    expected = Counter(match.kind for match in find(text))
    assert stats["found"] == dict(expected)
    assert findings.counts == Counter(f"privacy.{kind}" for kind in expected)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | pieces,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_row_is_read(value: Any) -> None:
    row = value if isinstance(value, dict) else {"messages": value}
    findings, stats = scanned([Row(1, row, b"", None, "chat", None), Row(2, row, b"", "openai", "chat", row)])
    assert stats["rows"] == 2
    assert findings.counts.total() >= 0
    redact_row(row)
