# ruff: noqa: E501, ISC004 - a pattern reads better in one line
"""What answers should not say: refusals, phrases of other assistants, control tokens, placeholders; and loops and mojibake.

Each has a cheap test by `in` before any expression runs. No expression here can backtrack over more than some dozens of
characters, so a megabyte of anything costs milliseconds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_A = "['’]"  # as typed, and as typeset


def _any(*lines: str) -> str:
    """Alternatives, separated by commas; a blank stands for one blank."""
    return "(?:" + "|".join(part.strip().replace("'", _A) for line in lines for part in line.split(",")) + ")"


# Refusals: how an answer begins. A sorry and a cannot alone are ordinary in support ("Sorry, I can't find your order"): what
# cannot be done must be to help or to answer.
_SORRY = _any(
    "i'm sorry, i am sorry, i'm very sorry, i'm so sorry, i am very sorry, i'm afraid, i am afraid, sorry, my apologies, apologies",
    "i apologize, i apologise, unfortunately",
)
_CANNOT = _any(
    "i can't, i cannot, i can not, i won't, i will not, i won't be able to, i'm unable to, i am unable to, i'm not able to",
    "i am not able to, i'm not allowed to, i'm not permitted to, i'm not programmed to, i must decline to, i must refuse to",
    "i do not feel comfortable, i don't feel comfortable",
)
_HELP = _any(
    "help, assist, comply, fulfil, fulfill, provide, answer, create, generate, write, engage, support, discuss, participate",
    "complete, respond, produce, continue, do that, do this, offer, helping, assisting, providing, answering, creating, writing",
)
_MACHINE = _any(
    "ai, artificial intelligence, ai language model, large language model, language model, ai assistant, ai model"
)
_REFUSALS = (
    rf"(?:{_SORRY}[,.;:]? (?:but )?(?:that )?)?{_CANNOT} {_HELP}\b",
    rf"{_SORRY}[,.;:]? (?:but )?i (?:can{_A}t|cannot)[.!]",
    rf"{_SORRY}[,.;:]? (?:but )?as an? {_MACHINE}\b",
    rf"as an? {_MACHINE}\b[^.!?\n]{{0,50}}\b(?:cannot|unable|not able|do not|not allowed|not possible|(?:can|don){_A}t)\b",
    r"i (?:must|have to) (?:respectfully )?(?:decline|refuse)\b",
    # German
    r"(?:es )?tut mir (?:sehr |wirklich )?leid[,.;:]? (?:aber )?[^.!?\n]{0,40}\b(?:nicht|keine?n?) [^.!?\n]{0,30}"
    r"(?:helfen|unterstützen|behilflich|beantworten|bereitstellen|erstellen|antworten|liefern|erfüllen|nachkommen)",
    r"(?:leider )?(?:kann ich|ich kann|ich darf)(?: leider)?(?: ihnen| dir| euch)?(?: dabei| damit| hierbei| diese anfrage| das)?"
    r"(?: leider)? nicht (?:helfen|weiterhelfen|unterstützen|beantworten|erfüllen|behilflich)",
    r"als (?:ein |eine )?(?:ki|künstliche intelligenz|sprachmodell|ki-sprachmodell|ki-modell|ki-assistent)\b[^.!?\n]{0,60}"
    r"\b(?:nicht|keine?n?)\b",
    # French
    rf"(?:(?:je suis (?:vraiment |sincèrement )?)?désolée?|je m{_A}excuse|malheureusement|je regrette)[,.;:]? (?:mais )?"
    rf"je ne (?:peux|suis|pourrai|saurais) pas (?:vous |t{_A})?(?:en mesure |capable )?(?:de |d{_A})?(?:vous |t{_A})?"
    r"(?:aider|répondre|fournir|assister|créer|générer|écrire|faire cela|traiter|satisfaire)",
    rf"je ne (?:peux|suis) pas (?:vous |t{_A}|en mesure de (?:vous )?|en mesure d{_A})?(?:aider|répondre à|fournir|assister)",
    rf"en tant (?:qu{_A}(?:ia|intelligence artificielle|assistant)|que modèle de langage)\b[^.!?\n]{{0,60}}\bpas\b",
    # Spanish
    r"(?:lo siento|lo lamento|disculpa|disculpe|me temo|lamentablemente|perdón)[,.;:]? (?:mucho[,.;:]? )?(?:pero |que )?no (?:puedo|me es "
    r"posible|soy capaz de|estoy en condiciones de) (?:ayudar|proporcionar|responder|cumplir|crear|generar|escribir|hacer eso|ofrecer)",
    r"no puedo (?:ayudarte|ayudarle|ayudar|proporcionar|responder a|cumplir)\b",
    r"como (?:una |un )?(?:ia|inteligencia artificial|modelo de lenguaje|asistente de ia)\b[^.!?\n]{0,60}\bno\b",
    # Italian, Portuguese, Russian
    r"(?:mi dispiace|spiacente|purtroppo)[,.;:]? (?:ma )?non (?:posso|sono in grado di) (?:aiutar|assister|fornir|risponder|soddisfar|crear)",
    r"(?:desculpe|sinto muito|lamento|infelizmente)[,.;:]? (?:mas )?(?:eu )?não (?:posso|consigo) (?:ajud|fornecer|responder|atender|criar)",
    r"(?:извините|простите|к сожалению|мне жаль)[,.;:]? (?:но )?я не (?:могу|в состоянии) (?:вам )?(?:с этим )?(?:помочь|предоставить|"
    r"ответить|выполнить|создать)",
    # Chinese
    r"(?:(?:我)?(?:很|非常|十分)?(?:抱歉|对不起|對不起|不好意思|遗憾)[,，。.！!：: ]{0,2}(?:但是|但|不过)?[,，]?)?我(?:无法|不能|沒辦法|没办法|無法|没有办法)"
    r"(?:为您|为你|向您|向你|為您)?(?:帮助|帮忙|协助|提供|回答|满足|完成|幫助|協助|处理这|生成|创建|参与|讨论)",
    r"作为(?:一个|一名)?(?:ai|人工智能|语言模型|大型语言模型)[^。！？\n]{0,20}(?:无法|不能|没有)",
    # Japanese
    r"(?:申し訳ありませんが|申し訳ございませんが|申し訳ありません|申し訳ございません|すみませんが|残念ながら|恐れ入りますが)[、,。]?[^。\n]{0,40}"
    r"(?:お手伝い|お答え|ご協力|回答|提供|対応|作成|支援)[^。\n]{0,12}(?:できません|できかねます|いたしかねます|できない)",
    r"(?:ai|人工知能|言語モデル)として[^。\n]{0,40}(?:できません|ありません|できない)",
)
_REFUSAL = re.compile("|".join(f"(?:{pattern})" for pattern in _REFUSALS))
_HEAD = 160  # characters: where a refusal stands
# First letters of all of these: an answer that begins otherwise is not looked at further.
_FIRST = frozenset("iamsuetldkjemncpoи извпкм我很非十抱对對不遗作申す残恐人言") - {" "}

_MAKER = _any("openai, anthropic, google, google deepmind, meta, mistral, microsoft, alibaba cloud, deepseek")
_BOILERPLATE = re.compile(
    rf"\bas an? (?:{_MACHINE},? (?:i\b|developed|created|trained)|ai(?: language model| assistant| chatbot| model)\b|ai,)"
    rf"|\b(?:i am|i{_A}m|as) (?:just )?an? (?:large |ai )?language model\b"
    rf"|\bi(?:{_A}m| am| was) (?:an? (?:[a-z]{{2,12}} ){{1,3}})?(?:developed|created|trained|made|built) by {_MAKER}\b"
    r"|\b(?:developed|created|trained) by (?:openai|anthropic)\b"
    r"|\bmy (?:knowledge|training|training data)(?: (?:only )?(?:goes|extends|reaches)(?: only)? (?:up )?(?:to|until)\b| cut-?off\b)"
    r"|\b(?:as of )?my last (?:knowledge |training )?update\b"
    r"|\bi hope this helps\b(?=[^\n]{0,80}\s{0,20}\Z)"
)

# <s> and </s> at the ends of a text only: in the middle they strike text out in HTML.
_CONTROL = re.compile(
    r"<\|[a-zA-Z][a-zA-Z0-9_ .-]{0,38}\|>|<｜[^<>｜\s]{1,40}｜>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk|EOT)>"
    r"|\A\s{0,9}<s>|</s>(?=\s{0,9}(?:\Z|<s>|\[INST\]))"
)

_NOUN = _any(
    "insert, your, enter, add, fill in, replace, put, customer, client, company, recipient, first, last, full, user, phone, email, e-mail",
    "date, name, placeholder",
)
_PLACEHOLDER = re.compile(
    r"(?P<lorem>\blorem ipsum\b)"
    rf"|(?P<slot>\[{_NOUN}\b[ \w'’/-]{{0,40}}\](?!\())"
    r"|(?P<angle><(?:your|insert|enter)[ _-][\w -]{1,40}>)"
    r"|(?P<curly>\{\{\s{0,3}\w[\w. ]{0,40}\}\})"
    r"|(?P<todo>^[ \t]{0,9}(?:todo|tbd|fixme)\b(?! (?:list|app)s?\b)|[\[<(](?:todo|tbd|fixme)[\]>):])"
    r"|(?P<here>\b(?:insert|enter|type|write|put) (?:your )?(?:\w{1,20} ){1,2}here\b\s{0,3}[.\]>)]?$)"
    r"|(?P<x>\bx{4,20}\b)",
    re.IGNORECASE | re.MULTILINE,
)
_CODE = re.compile(r"```|^[ \t]{0,20}(?:#|//|/\*|\*|--|def |class |import |return )|[;{]$", re.MULTILINE)


class Said(NamedTuple):
    """What was found: its kind, its words, where it begins."""

    kind: str
    words: str
    begins: int


def refusal(text: str) -> str | None:
    head = text[:_HEAD].lstrip(" \n\t\"'“*").lower()
    if not head or head[0] not in _FIRST:
        return None
    match = _REFUSAL.match(head)
    return match[0] if match else None


# Written out, since any() over a generator takes six times as long.
def may_hold_boilerplate(lower: str) -> bool:
    return (
        "as an ai" in lower
        or "language model" in lower
        or "cutoff" in lower
        or "cut-off" in lower
        or "last update" in lower
        or "openai" in lower
        or "anthropic" in lower
        or "trained by" in lower
        or "hope this helps" in lower
    )


def may_hold_placeholder(lower: str) -> bool:
    return (
        "lorem ipsum" in lower
        or "[" in lower
        or "{{" in lower
        or "todo" in lower
        or "tbd" in lower
        or "fixme" in lower
        or "<your" in lower
        or "<insert" in lower
        or "<enter" in lower
        or "xxxx" in lower
        or " here" in lower
    )


def boilerplate(lower: str) -> str | None:
    """`lower`: the answer in lower case."""
    match = _BOILERPLATE.search(lower)
    return match[0] if match else None


def may_hold_control(text: str) -> bool:
    return (
        "<|" in text
        or "<｜" in text
        or "INST]" in text
        or "SYS>>" in text
        or "_of_turn>" in text
        or "<s>" in text
        or "</s>" in text
        or "<bos>" in text
        or "<eos>" in text
        or "<pad>" in text
        or "<unk>" in text
        or "<EOT>" in text
    )


def control(text: str) -> list[str]:
    """Every control token in the text."""
    return [match[0].strip() for match in _CONTROL.finditer(text)]


def placeholder(text: str) -> Said | None:
    """In code, what is to be done and what a template fills in are ordinary."""
    code: bool | None = None
    for match in _PLACEHOLDER.finditer(text):
        kind = match.lastgroup or ""
        if kind in {"todo", "curly", "angle", "x"}:
            if code is None:
                code = _CODE.search(text) is not None
            if code:
                continue
        return Said(kind, match[0].strip(), match.start())
    return None


class Loop(NamedTuple):
    unit: str
    times: int


def loop(text: str) -> Loop | None:
    """A run that repeats at once, four times or more, over 60 characters and a third of the text or more.

    Looked for at the end, where a loop that a model fell into stands, and at two places before.
    """
    size = len(text)
    if size < 60:
        return None
    for place in (size - 24, size // 2, size * 3 // 4):
        probe = text[place : place + 24]
        window = text if size <= 20_000 else text[max(0, place - 10_000) : place + 10_000]
        if window.count(probe) >= 4 or (len(window) < 120 and window.count(probe) >= 2):
            found = _run(window, probe)
            if found is not None:
                return found
    return None


def _run(text: str, probe: str) -> Loop | None:
    first = text.find(probe)
    period = text.find(probe, first + 1) - first
    if period <= 0:
        return None
    unit = text[first : first + period]
    if not any(c.isalpha() for c in unit):  # a rule of dashes, a row of zeros
        return None
    end, begin = first, first
    while text[end : end + period] == unit:
        end += period
    while begin >= period and text[begin - period : begin] == unit:
        begin -= period
    times = (end - begin) // period
    if times < 4 or end - begin < 60 or end - begin < len(text) / 3:
        return None
    return Loop(unit.strip(), times)


# What UTF-8 looks like when it is read as Windows-1252 or Latin-1, or as Windows-1251: a lead byte and a continuation byte.
_CONTINUED = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(rf"[\xc2-\xf4][{_CONTINUED}]|(?:[РС][^\x00-\x7fа-яА-Я\s]){{2}}|锟斤拷")


def mojibake(text: str) -> int | None:
    """Where text that was decoded wrongly may begin; to be judged by ftfy, since „Spaß“ looks so too. For text beyond ASCII."""
    match = _MOJIBAKE.search(text)
    return match.start() if match else None
