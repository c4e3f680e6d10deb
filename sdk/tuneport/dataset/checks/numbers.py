"""Personal identity numbers and bank accounts: how each is written, who judges it, what must be said near it.

python-stdnum judges the check digits. A number without a form of its own (nine digits, say) is one only where a word near it
says so; where the form or the check leaves fewer than one chance hit in some hundreds, it stands for itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ID, BANK = "identity-number", "bank-account"


class Rule(NamedTuple):
    """`lengths`: the digits as grouped. `between`: what may stand between groups, the same everywhere, or all in order.

    `near`: what must be said near it, None for nothing. `module` is python-stdnum's; empty: the form is all there is.
    """

    kind: str
    what: str
    module: str
    lengths: tuple[int, ...]
    between: str = ""
    near: str | None = None


_TAX = r"\btin\b|tax.?(?:id|number|no)"
_HETU = "henkilötunnus|hetu|personbeteckning|personal identity"
_PASSPORT = "pass?port|passeport|reisepass|pasaporte|passaport[eo]|paspoort|паспорт|护照"
_SSN = r"\bssn\b|social.?sec|\bss ?#"
_SIN = r"(?-i:\bSIN\b)|social insurance|assurance sociale"
RULES = (
    Rule(ID, "US social security number", "us.ssn", (3, 2, 4), "-"),
    Rule(ID, "US social security number", "us.ssn", (3, 2, 4), " .", _SSN),
    Rule(ID, "US social security number", "us.ssn", (9,), near=_SSN),
    Rule(ID, "US taxpayer number", "us.itin", (3, 2, 4), "-"),
    Rule(ID, "US taxpayer number", "us.itin", (9,), near=r"\bitin\b|" + _TAX),
    Rule(ID, "UK NHS number", "gb.nhs", (3, 3, 4), " -", r"\bnhs\b"),
    Rule(ID, "UK NHS number", "gb.nhs", (10,), near=r"\bnhs\b"),
    Rule(ID, "German tax number", "de.idnr", (11,), near=r"steuer|\bidnr\b|\bid-nr|identifikationsnummer|" + _TAX),
    Rule(ID, "German tax number", "de.idnr", (2, 3, 3, 3), " ", r"steuer|\bidnr\b|\bid-nr|identifikationsnummer|" + _TAX),
    Rule(ID, "French social security number", "fr.nir", (15,)),
    Rule(ID, "French social security number", "fr.nir", (1, 2, 2, 2, 3, 3, 2), " ."),
    Rule(ID, "Dutch citizen number", "nl.bsn", (9,), near=r"\bbsn\b|burgerservice|sofi"),
    Rule(ID, "Dutch citizen number", "nl.bsn", (4, 2, 3), " .", r"\bbsn\b|burgerservice|sofi"),
    Rule(ID, "Polish PESEL", "pl.pesel", (11,), near="pesel"),
    Rule(ID, "Brazilian CPF", "br.cpf", (3, 3, 3, 2), "..-"),
    Rule(ID, "Brazilian CPF", "br.cpf", (11,), near=r"\bcpf\b"),
    Rule(ID, "Indian Aadhaar", "in_.aadhaar", (12,), near="aadh?aar|uidai|आधार"),
    Rule(ID, "Indian Aadhaar", "in_.aadhaar", (4, 4, 4), " -", "aadh?aar|uidai|आधार"),
    Rule(ID, "Chinese identity number", "cn.ric", (18,)),
    Rule(ID, "Canadian social insurance number", "ca.sin", (9,), near=_SIN),
    Rule(ID, "Canadian social insurance number", "ca.sin", (3, 3, 3), " -", _SIN),
    Rule(ID, "Australian tax file number", "au.tfn", (9,), near=r"\btfn\b|tax file"),
    Rule(ID, "Australian tax file number", "au.tfn", (3, 3, 3), " ", r"\btfn\b|tax file"),
    Rule(ID, "Swedish personnummer", "se.personnummer", (6, 4), "-", "person(?:nummer|nr)|personal identity"),
    Rule(ID, "Swedish personnummer", "se.personnummer", (8, 4), "-", "person(?:nummer|nr)|personal identity"),
    Rule(ID, "Swedish personnummer", "se.personnummer", (12,), near="person(?:nummer|nr)|personal identity"),
    Rule(ID, "Danish CPR number", "dk.cpr", (6, 4), "-", r"\bcpr\b|personnummer"),
    Rule(ID, "Danish CPR number", "dk.cpr", (10,), near=r"\bcpr\b|personnummer"),
    Rule(ID, "Norwegian birth number", "no.fodselsnummer", (11,), near=r"f(?:ø|o|oe)dselsn|personnummer|\bfnr\b"),
    Rule(ID, "Norwegian birth number", "no.fodselsnummer", (6, 5), " ", r"f(?:ø|o|oe)dselsn|personnummer|\bfnr\b"),
    Rule(ID, "Belgian national number", "be.nn", (2, 2, 2, 3, 2), "..-."),
    Rule(ID, "Belgian national number", "be.nn", (11,), near="rijksregister|registre national|national num|niss|insz"),
    Rule(ID, "Swiss AHV number", "ch.ssn", (3, 4, 4, 2), "."),
    Rule(ID, "Swiss AHV number", "ch.ssn", (13,), near=r"\bahv\b|\bavs\b|sozialversicherung"),
    Rule(ID, "Austrian insurance number", "at.vnr", (10,), near=r"sozialversicherung|\bsvnr\b|sv-n|versicherungsn"),
    Rule(ID, "Austrian insurance number", "at.vnr", (4, 6), " ", r"sozialversicherung|\bsvnr\b|sv-n|versicherungsn"),
    Rule(ID, "Portuguese NIF", "pt.nif", (9,), near=r"\bnif\b|contribuinte"),
    Rule(ID, "Korean resident number", "kr.rrn", (6, 7), "-"),
    Rule(ID, "Japanese My Number", "jp.in_", (12,), near="マイナンバー|個人番号|my ?number"),
    Rule(ID, "Japanese My Number", "jp.in_", (4, 4, 4), " -", "マイナンバー|個人番号|my ?number"),
    Rule(ID, "South African identity number", "za.idnr", (13,), near=r"identity|south afric|\b(?:rsa|sa) id\b"),
    Rule(ID, "Turkish identity number", "tr.tckimlik", (11,), near=r"kimlik|\btckn?\b|\bt\.?c\.? ?no"),
    Rule(ID, "Romanian CNP", "ro.cnp", (13,), near=r"\bcnp\b|cod numeric"),
    Rule(ID, "Bulgarian EGN", "bg.egn", (10,), near=r"егн|\begn\b"),
    Rule(ID, "Czech or Slovak birth number", "cz.rc", (6, 4), "/"),
    Rule(ID, "Greek AMKA", "gr.amka", (11,), near="amka|αμκα"),
    Rule(ID, "Israeli identity number", "il.idnr", (9,), near="תעודת|teudat|israeli? id"),
    Rule(ID, "Lithuanian personal code", "lt.asmens", (11,), near="asmens"),
    Rule(ID, "Estonian personal code", "ee.ik", (11,), near="isikukood|personal (?:id )?code"),
    Rule(ID, "Latvian personal code", "lv.pvn", (6, 5), "-", "personas kods"),
    Rule(ID, "Ukrainian tax number", "ua.rntrc", (10,), near="рнокпп|ідентифікаційн|ипн|іпн"),
    Rule(ID, "Russian tax number", "ru.inn", (12,), near=r"\bинн\b|\binn\b"),
    Rule(ID, "Croatian OIB", "hr.oib", (11,), near=r"\boib\b"),
    Rule(ID, "Slovenian EMŠO", "si.emso", (13,), near="em[šs]o"),
    Rule(ID, "Argentine CUIT", "ar.cuit", (2, 8, 1), "-"),
    Rule(ID, "Argentine DNI", "ar.dni", (2, 3, 3), ".", r"\bdni\b"),
    Rule(ID, "Ecuadorian cédula", "ec.ci", (10,), near="c[eé]dula"),
    Rule(ID, "Thai identity number", "th.pin", (1, 4, 5, 2, 1), "- "),
    Rule(ID, "Thai identity number", "th.pin", (13,), near="บัตรประชาชน|thai"),
    Rule(ID, "Malaysian identity number", "my.nric", (6, 2, 4), "-"),
    Rule(ID, "Indonesian NIK", "id.nik", (16,), near=r"\bnik\b|\bktp\b"),
    Rule(ID, "Pakistani CNIC", "pk.cnic", (5, 7, 1), "-"),
    Rule(ID, "Finnish personal identity code", "fi.hetu", (6, 4), "-", _HETU),
    Rule(ID, "passport number", "", (8,), near=_PASSPORT),
    Rule(ID, "passport number", "", (9,), near=_PASSPORT),
    Rule(BANK, "US routing number", "us.rtn", (9,), near=r"routing|\baba\b"),
    Rule(BANK, "UK sort code", "", (2, 2, 2), "-", "sort.?code"),
    Rule(BANK, "Australian BSB", "", (3, 3), "-", r"\bbsb\b"),
    Rule(BANK, "Spanish account number", "es.ccc", (4, 4, 2, 10), " -"),
    Rule(BANK, "Spanish account number", "es.ccc", (20,), near=r"cuenta|\bccc\b|banco"),
    Rule(BANK, "Argentine CBU", "ar.cbu", (22,), near=r"\bcbu\b"),
    Rule(BANK, "Norwegian account number", "no.kontonr", (4, 2, 5), ". ", "konto"),
    Rule(BANK, "New Zealand account number", "nz.bankaccount", (2, 4, 7, 2), "-"),
)  # fmt: skip
ACCOUNT = (
    r"bank.{0,12}account|account.{0,20}bank|sort.?code|routing|kontonummer|bankverbindung|numéro de compte"
    r"|cuenta bancaria"
)


class Form(NamedTuple):
    """A number with letters in it: its form, and the rest as in `Rule`."""

    what: str
    form: re.Pattern[str]
    module: str
    near: str | None = None


_DNI = r"\bdni\b|\bnif\b|\bnie\b|documento|extranjer"
FORMS = (
    Form(
        "Italian codice fiscale",
        re.compile(r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]"),
        "it.codicefiscale",
    ),
    Form("Mexican CURP", re.compile(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d"), "mx.curp"),
    Form("French social security number", re.compile(r"[12]\d{4}2[ABab]\d{8}"), "fr.nir"),
    Form("Chinese identity number", re.compile(r"[1-9]\d{16}[Xx]"), "cn.ric"),
    Form(
        "UK national insurance number",
        re.compile(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]"),
        "",
        r"national insurance|\bnino\b|\bni (?:no|num)",
    ),
    Form("Spanish NIE", re.compile(r"[XYZxyz]\d{7}[A-Za-z]"), "es.nie", _DNI),
    Form("Spanish DNI", re.compile(r"\d{8}[A-Za-z]"), "es.dni", _DNI),
    Form("Finnish personal identity code", re.compile(r"\d{6}[A-FU-Y]\d{3}[0-9A-Y]"), "fi.hetu", _HETU),
    Form("Irish PPS number", re.compile(r"\d{7}[A-W][A-IW]?"), "ie.pps", r"\bppsn?\b"),
    Form("Singaporean NRIC", re.compile(r"[STFGM]\d{7}[A-Z]"), "", r"\bnric\b|\bfin\b|\bic (?:no|num)"),
    Form("passport number", re.compile(r"[A-Za-z]{1,2}\d{6,9}|\d{6,9}[A-Za-z]"), "", _PASSPORT),
)
SPACED_FORMS = {
    "nino": ("UK national insurance number", "", None),
    "nie": ("Spanish NIE", "es.nie", _DNI),
    "dni": ("Spanish DNI", "es.dni", _DNI),
    "hetu": ("Finnish personal identity code", "fi.hetu", _HETU),
}
