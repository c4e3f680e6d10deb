# ruff: noqa: E501 - a table reads better in one line a row
"""What the rows say: duplicates, contradictions, refusals, wrong language, broken text, and the set as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.corpus import dialects as d
from tests.corpus import talk
from tests.corpus.clean import base
from tests.corpus.plant import Planted, add, after, edit, plants, within, words
from tests.corpus.words import Row

from tuneport import DPO, ContinuedPretraining

_QUESTION, _ANSWER, _SYSTEM = "messages[1].content", "messages[2].content", "messages[0].content"


def twin(name: str, code: str, change: Callable[[Row], Row], *, of: str = "support", first: int = 14, row: int = 97,
         written: Callable[[Row], Row] | None = None, also: Iterable[str] = (), **options: Any) -> None:  # fmt: skip
    """Row `row` becomes row `first`, changed."""

    def plant(folder: Path) -> Planted:
        rows = base(of)
        rows[row - 1] = change(base(of)[first - 1])
        return Planted(d.save(folder, d.jsonl([written(r) for r in rows] if written else rows)), row, other=first)

    add(name, code, plant, also=also, **options)


def said(index: int, change: Callable[[str], str]) -> Callable[[Row], Row]:
    def edited(row: Row) -> Row:
        turn = row["messages"][index]
        before, turn["content"] = turn["content"], change(turn["content"])
        if turn["content"] == before:
            raise ValueError("the change changes nothing")
        return row

    return edited


def both(*changes: Callable[[Row], Row]) -> Callable[[Row], Row]:
    def edited(row: Row) -> Row:
        for change in changes:
            row = change(row)
        return row

    return edited


def _same(row: Row) -> Row:
    return row


def _with(text: str) -> int:
    """The first row whose answer holds a text."""
    return next(n for n, row in enumerate(base("support"), 1) if text in row["messages"][2]["content"])


_OTHER = "No, that offer ended in spring; there's nothing that we can do about it at this point in time."
twin("duplicate", "quality.duplicate", _same)
twin("duplicate-next-row", "quality.duplicate", _same, first=50, row=51)
twin(
    "duplicate-by-case-and-spaces",
    "quality.duplicate",
    both(said(1, str.upper), said(2, lambda t: t.replace(" ", "  ") + "\n")),
)
twin(
    "duplicate-by-key-order",
    "quality.duplicate",
    lambda row: {"messages": [dict(reversed(t.items())) for t in row["messages"]]},
)
twin("duplicate-by-unicode-form", "quality.duplicate", said(2, lambda t: t.replace("fi", "ﬁ")), first=_with("fi"))
twin("duplicate-tools", "quality.duplicate", _same, of="tools")
twin("duplicate-preference", "quality.duplicate", _same, of="preferences", objective=DPO())
twin("duplicate-text", "quality.duplicate", _same, of="texts", objective=ContinuedPretraining())
twin("duplicate-vertex", "quality.duplicate", _same, written=d.vertex)
twin("duplicate-converse", "quality.duplicate", _same, of="several-turns", written=d.bedrock_converse)
twin("near-duplicate-by-name", "quality.near-duplicate",
     both(said(1, after("Greetings, Oriane")), said(2, lambda t: t.replace(".", ", Oriane.", 1))), first=19)  # fmt: skip
twin("near-duplicate-by-word", "quality.near-duplicate", both(said(0, after("Cheers!")), said(1, lambda t: t.replace(" the ", " that ", 1))), of="summaries",
     also=["quality.contradiction"])  # fmt: skip
twin(
    "near-duplicate-text",
    "quality.near-duplicate",
    lambda row: {"text": row["text"].replace(" the ", " this ", 2)},
    of="texts",
    objective=ContinuedPretraining(),
)
twin("near-duplicate-languages", "quality.near-duplicate", said(0, after("教えてください。")), of="languages", first=15)

twin("contradiction", "quality.contradiction", said(2, lambda _: _OTHER))
twin("contradiction-by-case", "quality.contradiction", both(said(1, str.lower), said(2, lambda _: _OTHER)), first=15)
twin(
    "contradiction-by-spaces",
    "quality.contradiction",
    both(said(1, lambda t: f" {t}\n".replace(", ", ",  ")), said(2, lambda _: _OTHER)),
    first=16,
)
twin("contradiction-label", "quality.contradiction", said(2, lambda t: "refund" if t != "refund" else "fault"), of="classification",
     also=["quality.near-duplicate"])  # fmt: skip
twin("contradiction-json", "quality.contradiction", said(2, lambda t: json.dumps(json.loads(t) | {"days": 99, "city": "Basel"})), of="extraction",
     also=["quality.near-duplicate"])  # fmt: skip
twin(
    "contradiction-trl",
    "quality.contradiction",
    said(2, lambda _: _OTHER),
    written=lambda row: d.trl({"messages": row["messages"][1:]}),
)

edit(
    "copied-prompt",
    "quality.copied-prompt",
    "messages",
    lambda t: [t[0], t[1], t[2] | {"content": t[1]["content"]}],
    path=_ANSWER,
)
edit("copied-prompt-nearly", "quality.copied-prompt", "messages", lambda t: [t[0], t[1], t[2] | {"content": t[1]["content"].upper().rstrip(".?!") + " "}],
     also=["quality.cut-off"], path=_ANSWER)  # fmt: skip


@plants("copied-prompt-alpaca", "quality.copied-prompt")
def _copied(folder: Path) -> Planted:
    rows = [d.alpaca({"messages": row["messages"][1:]}) for row in base("support")]
    rows[40]["output"] = rows[40]["instruction"]
    return Planted(d.save(folder, d.jsonl(rows)), 41, ("output",))


edit("refusal", "quality.refusal", _ANSWER, "I'm sorry, but I can't help with that.", also=["quality.short-answer"])
edit(
    "refusal-typographic",
    "quality.refusal",
    _ANSWER,
    "I’m sorry, but I cannot assist with that request.",
    also=["quality.short-answer"],
)
edit(
    "refusal-unable",
    "quality.refusal",
    _ANSWER,
    "I apologize, but I am unable to provide information about orders.",
    also=["quality.short-answer"],
)
edit(
    "refusal-as-an-ai",
    "quality.refusal",
    _ANSWER,
    "As an AI, I cannot look into orders or give advice on refunds.",
    also=["quality.boilerplate", "quality.short-answer"],
)
edit("refusal-german", "quality.refusal", "messages[3].content", "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.", of="languages", row=43,
     also=["quality.short-answer"])  # fmt: skip
edit("boilerplate-language-model", "quality.boilerplate", _ANSWER, lambda t: "As an AI language model, I don't have a shop, but here goes. " + t,
     says="AI language model", also=["quality.refusal"])  # fmt: skip
edit(
    "boilerplate-cutoff",
    "quality.boilerplate",
    _ANSWER,
    after("My knowledge cutoff is September 2021, so this may have changed."),
    says="cutoff",
)
edit(
    "boilerplate-maker",
    "quality.boilerplate",
    _ANSWER,
    within("I'm ChatGPT, a model trained by OpenAI, so take it with a grain of salt."),
    says="OpenAI|ChatGPT",
)

_T = "quality.control-token"
edit("token-chatml", _T, _ANSWER, after("<|im_end|>"), says=r"<\|im_end\|>")
edit("token-chatml-opens-turn", _T, _QUESTION, after("<|im_start|>system\nGive a refund."), says=r"<\|im_start\|>")
edit("token-llama-3", _T, _QUESTION, within("<|eot_id|>"), says=r"<\|eot_id\|>")
edit("token-llama-2", _T, _QUESTION, lambda t: f"[INST] {t} [/INST]", says=r"INST\]")
edit("token-gemma", _T, _ANSWER, after("<end_of_turn>"), says="<end_of_turn>")
edit("token-end-of-text", _T, _ANSWER, after("<|endoftext|>"), says=r"<\|endoftext\|>")
edit("token-sentence-end", _T, _ANSWER, after("</s>"), says="</s>")
edit("token-in-system", _T, _SYSTEM, within("<|start_header_id|>"), says=r"<\|start_header_id\|>")
edit(
    "token-vertex", _T, "contents[1].parts[0].text", after("<start_of_turn>"), written=d.vertex, says="<start_of_turn>"
)
edit(
    "token-converse",
    _T,
    "messages[1].content[0].text",
    after("<|eot_id|>"),
    written=d.bedrock_converse,
    says=r"<\|eot_id\|>",
)
edit("token-sharegpt", _T, "conversations[2].value", after("<|im_end|>"), written=d.sharegpt, says=r"<\|im_end\|>")
edit("token-alpaca", _T, "output", after("<|im_end|>"), written=d.alpaca, says=r"<\|im_end\|>")
edit(
    "token-alpaca-input",
    _T,
    "input",
    after("<|im_end|>"),
    written=d.alpaca,
    path=["input", "instruction, input"],
    says=r"<\|im_end\|>",
)
edit(
    "token-trl",
    _T,
    "completion",
    after("<|im_end|>"),
    written=lambda r: d.trl({"messages": r["messages"][1:]}),
    says=r"<\|im_end\|>",
)
edit(
    "token-text",
    _T,
    "text",
    within("<|endoftext|>"),
    of="texts",
    says=r"<\|endoftext\|>",
    objective=ContinuedPretraining(),
)
edit(
    "token-preference",
    _T,
    "preferred_output[0].content",
    after("<|im_end|>"),
    of="preferences",
    says=r"<\|im_end\|>",
    objective=DPO(),
)
edit("token-trl-preference", _T, "rejected[0].content", after("<|im_end|>"), of="preferences", written=d.trl_preference, says=r"<\|im_end\|>",
     objective=DPO())  # fmt: skip
edit("token-tool-arguments", _T, "messages[2].tool_calls[0].function.arguments", lambda t: json.dumps(json.loads(t) | {"query": "lamp<|im_end|>"}), of="tools",
     row=44, says=r"<\|im_end\|>")  # fmt: skip

_M = "quality.mojibake"


def _wrong(text: str, encoding: str = "cp1252") -> str:
    return text.encode().decode(encoding)


edit(
    "mojibake-accents", _M, _ANSWER, within(_wrong("The café in the Galerie Françoise keeps the spare key.")), says="Ã"
)
edit("mojibake-quotes", _M, _ANSWER, lambda t: t + " " + _wrong("We don’t charge for that – it’s free."), says="â€")
edit("mojibake-euro", _M, _QUESTION, within(_wrong("It cost 12 € more.")), says="â‚¬")
edit(
    "mojibake-cyrillic",
    _M,
    "messages[1].content",
    _wrong("Спасибо, посылка пришла вовремя, очень доволен.", "latin-1"),
    of="languages",
    row=44,
)
edit("mojibake-twice", _M, _ANSWER, within(_wrong(_wrong("Grüße aus Köln"))), says="Ã")
edit(
    "mojibake-replacement",
    _M,
    _ANSWER,
    within("The caf\ufffd in the arcade keeps the key."),
    says="\ufffd|U\\+FFFD|fffd",
)

_GERMAN = (
    talk.WORLD["de.answers"][1]
    .replace("(zu viel Wasser|Nährstoffmangel|zu wenig Licht)", "Nährstoffmangel")
    .format(wochentag="Samstag", pflanze="Orchidee", monat="Mai")
)
_JAPANESE = talk.WORLD["ja.answers"][4].replace("(ぬるめのお風呂|温かい麦茶)", "温かい麦茶").format(wochentag="土曜日")
edit("language-german-answer", "quality.language-mix", _ANSWER, _GERMAN, says="german|de\\b")
edit("language-japanese-answer", "quality.language-mix", _ANSWER, _JAPANESE, says="japanese|kana|ja\\b")
edit("language-english-answer", "quality.language-mix", "messages[1].content",
     "Yellow leaves mostly mean too much water. Let the soil dry until Saturday and move the plant to a window that faces east.",
     of="languages", row=43, says="english|en\\b")  # fmt: skip

edit("format-prose-among-json", "quality.inconsistent-format", _ANSWER, "The customer wants two lamps sent to Basel within nine days, and it's urgent.",
     of="extraction", also=["quality.short-answer"])  # fmt: skip
edit("format-fenced-json", "quality.inconsistent-format", _ANSWER, lambda t: f"```json\n{t}\n```", of="extraction")
edit(
    "format-json-with-preamble",
    "quality.inconsistent-format",
    _ANSWER,
    lambda t: f"Here is the JSON: {t}",
    of="extraction",
)
edit("format-broken-json", "quality.inconsistent-format", _ANSWER, lambda t: t[:-1] + ",}", of="extraction")
edit(
    "format-cut-json",
    "quality.inconsistent-format",
    _ANSWER,
    lambda t: t[: len(t) * 2 // 3],
    of="extraction",
    also=["quality.cut-off"],
)
edit("short-answer", "quality.short-answer", _ANSWER, "Ok")
edit(
    "long-answer",
    "quality.long-answer",
    _ANSWER,
    talk.story(words("long"), "voyage", 90, talk.scene(words("long"), "voyage")),
    also=["tokens.outlier"],
)
edit(
    "repetition-of-sentence",
    "quality.repetition",
    _ANSWER,
    lambda t: t + " Please try again in an hour." * 15,
    also=["quality.long-answer"],
)
edit(
    "repetition-of-word",
    "quality.repetition",
    _ANSWER,
    lambda t: t[:-1] + " and then" + " the valve" * 40,
    also=["quality.long-answer", "quality.cut-off"],
)
edit(
    "repetition-of-line",
    "quality.repetition",
    _ANSWER,
    lambda t: t + "\n- check the cable" * 20,
    also=["quality.long-answer"],
)
edit("placeholder-name", "quality.placeholder", _ANSWER, after("Best regards,\n[Your Name]"), says=r"\[Your Name\]")
edit(
    "placeholder-braces", "quality.placeholder", _ANSWER, lambda t: "Dear {{customer_name}}, " + t, says="customer_name"
)
edit("placeholder-lorem", "quality.placeholder", _ANSWER, "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor.", says="Lorem ipsum",
     also=["quality.language-mix"])  # fmt: skip
edit(
    "placeholder-todo",
    "quality.placeholder",
    _ANSWER,
    "TODO: write the answer",
    says="TODO",
    also=["quality.short-answer"],
)
edit(
    "placeholder-insert", "quality.placeholder", _ANSWER, after("It arrives on <INSERT DATE HERE>."), says="INSERT DATE"
)
edit(
    "cut-off-in-sentence",
    "quality.cut-off",
    _ANSWER,
    lambda t: t + " Before you send it back, please make sure that the",
)
edit("cut-off-in-word", "quality.cut-off", _ANSWER, lambda t: t + " In the evening you can collect it at the coun")
edit("cut-off-at-comma", "quality.cut-off", _ANSWER, lambda t: t + " Bring the receipt, the cable,")
edit(
    "cut-off-in-code",
    "quality.cut-off",
    "messages[1].content",
    lambda t: t[: t.rindex("\n```")].rstrip() + "\n    return sorted(",
    of="code",
    row=43,
)


@plants("one-label", "quality.label-imbalance", also=["quality.low-diversity"])
def _labels(folder: Path) -> Planted:
    rows = base("classification")
    for number, row in enumerate(rows):
        row["messages"][2]["content"] = "refund" if number % 24 == 0 else "delivery"
    return Planted(d.save(folder, d.jsonl(rows)), says=("delivery", r"9[56]"))


@plants("one-answer-to-all", "quality.low-diversity", also=["quality.label-imbalance"])
def _answers(folder: Path) -> Planted:
    rows = base("support")
    for number, row in enumerate(rows):
        if number % 20:
            row["messages"][2]["content"] = (
                "Thank you for your message. A colleague will look into it and write to you within two days."
            )
    return Planted(d.save(folder, d.jsonl(rows)))


@plants("one-pattern", "quality.low-diversity", also=["quality.near-duplicate", "quality.repetition"])
def _pattern(folder: Path) -> Planted:
    """Every row is made from one template."""
    w = words("pattern")
    rows: list[Any] = []
    for number in range(120):
        thing, city = talk.ENGLISH["product"][number % 30], talk.ENGLISH["city"][number % 28]
        ask = f"Write a product description for the {thing} in our shop in {city}, reference {w.code('AA-999')}."
        told = f"The {thing} is a high-quality product that you will love. Get the {thing} in our shop in {city} today, reference {w.code('AA-999')}."
        rows.append({"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": told}]})
    return Planted(d.save(folder, d.jsonl(rows)))
