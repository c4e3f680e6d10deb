"""Keys, tokens and passwords in a text.

The forms of known keys are those of gitleaks' rules (github.com/gitleaks/gitleaks, MIT, config/gitleaks.toml of
2026-07-22), with lengths taken as the least, since services lengthen their keys. A value
without a known form is a secret where a word says so and the value looks random. What is plainly a placeholder is none.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from tuneport.dataset.checks.signs import DOTTED, PREFIXES, RUN, WORDS, Match, Sign

_FORMS: dict[str, str] = {
    "AWS access key": r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "AWS Bedrock key": r"ABSK[A-Za-z0-9+/]{100,}={0,2}",
    "Google API key": r"AIza[\w-]{33,}",
    "Google OAuth secret": r"GOCSPX-[\w-]{20,}|ya29\.[\w-]{30,}",
    "GitHub token": r"gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{50,}",
    "GitLab token": r"gl(?:pat|ptt|rt|soat|ft|ffct|dt|imt|agent|oas|cbt)-[\w.-]{20,}|GR1348941[\w-]{20,}",
    "Slack token": r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,}",
    "Stripe key": r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/]{24,}={0,2}",
    "Anthropic key": r"sk-ant-[a-z0-9]+-[\w-]{20,}",
    "OpenAI key": r"sk-(?:proj|svcacct|admin|None)-[\w-]{20,}|sk-[A-Za-z0-9]{20,}",
    "OpenRouter key": r"sk-or-v1-[0-9a-f]{32,}",
    "Hugging Face token": r"(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "AI service key": r"(?:gsk_|pplx-|r8_|nvapi-|xai-|tgp_v1_|rpa_|lsv2_(?:pt|sk)_)[\w-]{30,}",
    "SendGrid key": r"SG\.[\w-]{16,}\.[\w-]{30,}",
    "Twilio key": r"SK[0-9a-f]{32}(?![0-9a-f])",
    "Mailgun key": r"key-[0-9a-f]{32}(?![0-9a-f])",
    "Brevo key": r"xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}",
    "npm token": r"npm_[A-Za-z0-9]{36,}",
    "PyPI token": r"pypi-AgE[\w-]{50,}",
    "RubyGems token": r"rubygems_[0-9a-f]{48}",
    "Docker token": r"dckr_pat_[\w-]{20,}",
    "DigitalOcean token": r"do[opr]_v1_[0-9a-f]{64}",
    "Databricks token": r"dapi[0-9a-f]{32}(?:-\d)?(?![0-9a-f])",
    "Heroku key": r"HRKU-[\w-]{40,}",
    "Shopify token": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "Square token": r"(?:sq0[a-z]{3}-|EAAA)[\w-]{22,}",
    "Facebook token": r"EAA[MC][A-Za-z0-9]{100,}",
    "Notion token": r"ntn_[0-9]{11}[A-Za-z0-9]{35}|secret_[A-Za-z0-9]{43}(?![A-Za-z0-9])",
    "Postman key": r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    "Linear key": r"lin_api_[A-Za-z0-9]{40}",
    "Airtable token": r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",
    "Grafana token": r"glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}|glc_[A-Za-z0-9+/]{32,}={0,3}",
    "Vault token": r"hvs\.[\w-]{80,}|hvb\.[\w-]{130,}",
    "Doppler token": r"dp\.(?:pt|st)\.[A-Za-z0-9.-]{40,}",
    "Dynatrace token": r"dt0c01\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}",
    "Sentry token": r"sntry[su]_[A-Za-z0-9+/=_]{40,}",
    "PlanetScale token": r"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,}",
    "Pulumi token": r"pul-[0-9a-f]{40}",
    "Alibaba key": r"LTAI[A-Za-z0-9]{17,21}(?![A-Za-z0-9])",
    "New Relic key": r"NRAK-[A-Z0-9]{27}",
    "1Password key": r"A3-[A-Z0-9]{6}-[A-Z0-9]{5,11}(?:-[A-Z0-9]{5}){3,4}|ops_eyJ[A-Za-z0-9+/]{200,}={0,3}",
    "age key": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    "Artifactory key": r"AKCp[A-Za-z0-9]{60,}",
    "Supabase key": r"sbp_[0-9a-f]{40}",
    "Vercel token": r"vercel_[A-Za-z0-9_]{24,}",
    "Fly token": r"fo1_[\w-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{100,}={0,3}",
    "Prefect key": r"pnu_[A-Za-z0-9]{36}",
    "EasyPost key": r"EZ[AT]K[A-Za-z0-9]{54}",
    "JSON web token": r"ey[IJ][A-Za-z0-9_-]{10,}\.ey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
}
_NAMES = list(_FORMS)
_KNOWN = re.compile("|".join(f"({form})" for form in _FORMS.values()))
_RUN = re.compile(rf"[A-Za-z0-9_-]{{{RUN},}}")
_PREFIX = re.compile(PREFIXES)
_DOTTED = re.compile(DOTTED)
_BOT = re.compile(r"(?<![A-Za-z0-9_-])\d{8,10}:$")
_PRIVATE = re.compile(
    r"-----BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[\s\S]){0,20000}"
    r"(?:-----END[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----)?|PuTTY-User-Key-File-\d:[\s\S]{0,4000}?Private-MAC: [0-9a-f]+"
)
_HOOK = re.compile(
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_]{30,}"
    r"|discord(?:app)?\.com/api/webhooks/\d+/[\w-]{40,}|webhook\.office\.com/webhookb2/[\w@/-]{60,}"
)
_BASIC = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,100}:(?P<value>[^\s/@\"'<>]{3,200})@(?=[\w\[])")
_TOLD = re.compile(
    rf"(?i)(?P<word>passw(?:or[dt]|d)?|pass(?:phrase|code)?\b|\bpwd|{WORDS})"
    r"[\w -]{0,24}?[\"'`*]{0,3}\s{0,2}(?:=>|:=|[:=]|\bis\b|\bbearer\b|(?<=earer)\s)\s{0,2}[\"'`*]{0,3}(?:bearer\s{1,2})?"
    r"(?P<value>[^\s\"'`,;<>*]{8,4000})"
)
_HINT = re.compile(rf"(?i)passw|pass(?:phrase|code)|pwd|{WORDS}")
_AWS = re.compile(r"(?i)(?<![a-z])(?:aws|amazon)(?![a-z])|(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])")
_NEAR = 60  # characters before a told secret in which the name of its service may stand
_TOKEN = re.compile(r"(?=[A-Za-z_+/~-]*\d)[A-Za-z0-9_+/~-]{16,}[A-Za-z0-9_+/~.=-]*")
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLACEHOLDER = re.compile(
    r"(?i)example|your|placeholder|change[_-]?me|redacted|dummy|insert|replace|sample|x{4}|\*{3}|\.{3}|…|\[|\{|<|\$\(|\$\w+$|%\w+%|^\$"
)
_EASY = re.compile(r"(?i)passw|p@ss|secret|qwerty|letmein|12345678|hunter2|abc123|test|foo|bar\b")


def find_secrets(text: str, signs: int = Sign.ALL, hint: str = "") -> Iterator[Match]:
    """Every secret of a text; those that are published as examples are marked so. `hint` is the key that it stands under."""
    if signs & Sign.KEY:
        yield from _known(text)
    if signs & Sign.AT and "://" in text:
        for found in _BASIC.finditer(text):
            if not _PLACEHOLDER.search(value := found["value"]) and value.lower() not in {
                "password",
                "pass",
                "pwd",
                "secret",
            }:
                yield Match("secret", *found.span("value"), "…", "password in an address")
    if signs & Sign.WORD and hint and (told := _HINT.search(hint)):
        password = told.group().lower().startswith(("pass", "pwd"))
        if (_is_password(text) and not re.search(r"\s", text)) if password else _is_random(text):
            yield Match("secret", 0, len(text), "…", "password" if password else _key_of(hint))
    if signs & Sign.WORD:
        for found in _TOLD.finditer(text):
            password = found["word"].lower().startswith(("pass", "pwd"))
            value = found["value"].rstrip(".,:)]}?" if password else ".,:)]}?!")
            if _is_password(value) if password else _is_random(value):
                start = found.start("value")
                around = text[max(found.start() - _NEAR, 0) : start]
                yield Match("secret", start, start + len(value), "…", "password" if password else _key_of(around))


def _key_of(around: str) -> str:
    """What a value without a form of its own is called, by the words before it."""
    return "key or token (likely of AWS)" if _AWS.search(around) else "key or token"


def _known(text: str) -> Iterator[Match]:
    for run in _RUN.finditer(text):
        start = run.start()
        before = text[start - 1 : start]
        if before == "." and (dotted := _DOTTED.search(text, max(start - 8, 0), start)):
            start = dotted.start()
            if text[max(start - 1, 0) : start].isalnum():
                continue
        elif not _PREFIX.match(text, start):
            continue
        elif before == ":" and (bot := _BOT.search(text, max(start - 12, 0), start)) and len(run.group()) == 35:
            yield Match("secret", bot.start(), run.end(), "…", "Telegram bot token")
            continue
        if found := _KNOWN.match(text, start):
            value, name = found.group(), _NAMES[(found.lastindex or 1) - 1]
            if "EXAMPLE" in value:
                yield Match("secret", *found.span(), f"{value[:4]}…", f"example of an {name}", example=True)
            elif _filled_in(value, name):
                yield Match("secret", *found.span(), f"{value[:4]}…", name)
    if "PRIVATE KEY" in text or "PuTTY" in text:
        for found in _PRIVATE.finditer(text):
            value = found.group()
            if len(value) > 120 and "..." not in value[:120] and "…" not in value[:120]:
                yield Match("secret", *found.span(), "…", "private key")
    if "hook" in text:
        for found in _HOOK.finditer(text):
            if not _PLACEHOLDER.search(found.group()) and any(map(str.isdigit, found.group())):
                yield Match("secret", *found.span(), "…", "webhook address")


def _filled_in(value: str, name: str) -> bool:
    """Not `sk-xxxxxxxx…`: of enough different characters, and nobody wrote YOUR into it."""
    mixed = value != value.lower() and value[4:] != value[4:].upper()
    random = mixed or name == "AWS access key" or any(map(str.isdigit, value))
    return random and not _PLACEHOLDER.search(value) and entropy(value[-32:]) >= 2.5


def _is_password(value: str) -> bool:
    if (
        not 8 <= len(value) <= 100
        or _PLACEHOLDER.search(value)
        or _EASY.search(value)
        or "://" in value
        or "(" in value
    ):
        return False
    if not any(map(str.isalpha, value)) or not any(map(str.isdigit, value)):
        return False
    mixed = value.lower() != value and value.upper() != value
    other = not value.replace("_", "").replace("-", "").replace(".", "").replace("/", "").isalnum()
    return (mixed or other or len(value) >= 12) and entropy(value) >= 2.7


def _is_random(value: str) -> bool:
    if len(value) < 16 or not _TOKEN.fullmatch(value) or _PLACEHOLDER.search(value) or _UUID.fullmatch(value):
        return False
    digits = sum(map(str.isdigit, value))
    letters = sum(map(str.isalpha, value))
    return digits >= 2 and letters >= 4 and entropy(value) >= 3.3 and value.count("/") <= 4 and value.count(".") <= 2


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values()) if size else 0.0
