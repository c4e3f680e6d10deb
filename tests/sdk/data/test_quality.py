# ruff: noqa: E501 - an example reads better in one line
"""What the words of a dataset show: each defect is named with row, path and value, and ordinary datasets stay silent."""

from __future__ import annotations

import importlib.util
import json
import pickle
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset.checks import language, phrases
from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.quality import QualityCheck
from tuneport.dataset.checks.tally import Distinct, Summary
from tuneport.dataset.issues import Issue
from tuneport.dataset.rows import Batch, Kind, Row

needs_ftfy = pytest.mark.skipif(importlib.util.find_spec("ftfy") is None, reason="ftfy judges mojibake")

OPENINGS = (
    "Thanks for getting in touch.",
    "Good question!",
    "Happy to look into that.",
    "That is easy to set right.",
    "I see what happened.",
)
SUBJECTS = (
    "The parcel",
    "Your invoice",
    "The replacement",
    "The second lamp",
    "Your refund",
    "The spare key",
    "The blue chair",
)
VERBS = (
    "leaves the warehouse on",
    "is booked for",
    "reaches you by",
    "was registered on",
    "will be checked on",
    "goes out on",
)
TIMES = (
    "Monday morning",
    "the 4th of May",
    "Friday before noon",
    "the last day of June",
    "Tuesday at three",
    "the next working day",
)
CLOSINGS = (
    "You need not do anything else.",
    "Just reply here if the address has changed.",
    "A mail follows with the number.",
    "We pay the postage.",
)
ASKS = ("where is", "when do I get", "what about", "who has", "can you trace", "why is there no news of")


def support(number: int) -> tuple[str, str]:
    rng = random.Random(number)
    subject = rng.choice(SUBJECTS)
    question = f"Hello, {rng.choice(ASKS)} {subject.lower()} from order {rng.randrange(10_000, 99_999)}? I waited {number % 17 + 2} days."
    answer = [
        rng.choice(OPENINGS),
        f"{subject} {rng.choice(VERBS)} {rng.choice(TIMES)}.",
        f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(TIMES)}.",
    ]
    return question, " ".join([*answer, rng.choice(CLOSINGS)])


def chat(question: str, answer: str, system: str | None = None) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": ([{"role": "system", "content": system}] if system else []) + turns}


def run(rows: Sequence[dict[str, Any]], *, kind: Kind = "chat", size: int = 64) -> tuple[list[Issue], dict[str, Any]]:
    check, findings = QualityCheck(Context()), Findings()
    made = [Row(i, row, dialect="openai", kind=kind, canonical=row) for i, row in enumerate(rows, 1)]
    for start in range(0, len(made), size):
        check.reduce(check.scan(Batch("data.jsonl", "train", made[start : start + size]), findings))
    stats = check.finish(findings)
    json.dumps(stats)
    return findings.issues, stats


def found(issues: Sequence[Issue]) -> list[tuple[str, int | None, str | None]]:
    return [(issue.code.removeprefix("quality."), issue.row, issue.path) for issue in issues]


def planted(answer: str, *, question: str | None = None, row: int = 30, count: int = 60) -> list[Issue]:
    """Support rows, of which one has this answer."""
    rows = [chat(*support(i)) for i in range(count)]
    rows[row - 1] = chat(question or support(row - 1)[0], answer)
    return run(rows)[0]


# Single rows


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that request. Please ask me something else that I can do for you today.",
        "I’m sorry, but I cannot assist you with this, as it would go against what I was made for in the first place.",
        "I cannot provide that kind of information, since it could do harm to someone who is not part of this talk.",
        "Sorry, I am unable to answer this question, whatever you tell me about the reasons that you have for asking.",
        "Unfortunately, I can't comply with that, although I see why you would like to have it done before the weekend.",
        "As an AI model, I do not have access to orders, so the answer must come from somebody else in the company.",
        "Es tut mir leid, aber bei dieser Anfrage kann ich Ihnen nicht helfen. Bitte stellen Sie mir eine andere Frage dazu.",
        "Als KI kann ich das leider nicht beurteilen. Bitte wenden Sie sich an jemanden, der sich damit auskennt, oder an uns.",
        "Je suis désolé, mais je ne peux pas vous aider avec cette demande. Posez-moi une autre question, s'il vous plaît.",
        "Lo siento, pero no puedo ayudarte con eso. Hazme otra pregunta y con mucho gusto te contesto lo que quieras saber.",
        "Mi dispiace, ma non posso aiutarti con questa richiesta. Fammi un'altra domanda e ti rispondo molto volentieri.",
        "Desculpe, mas não posso ajudar com isso. Faça outra pergunta e terei todo o gosto em responder ao que quiser saber.",
        "К сожалению, я не могу помочь с этим запросом. Задайте, пожалуйста, другой вопрос, и я с радостью отвечу на него.",
        "抱歉，我无法帮助您完成这个请求。请您换一个问题，我会很乐意为您解答，也可以联系人工客服获得更多的帮助和支持，谢谢您的理解。",
        "作为一个人工智能语言模型，我无法回答这个问题。",
        "申し訳ありませんが、そのご質問にはお答えできません。別の質問をしていただければ、喜んでお答えいたしますので、よろしくお願いします。",
    ],
)  # fmt: skip
def test_refusals_in_several_languages(answer: str) -> None:
    assert ("refusal", 30, "messages[1].content") in found(planted(answer))


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry that the lamp arrived broken. The replacement leaves the warehouse on Monday, and we pay the postage.",
        "Sorry, I can't find order 48213 under that name. Was it placed with another address? Then tell me which, please.",
        "I'm afraid the blue chair is sold out until June. The grey one reaches you by Friday before noon, if you like it.",
        "Unfortunately, the parcel was sent to the old address. It is on its way back, and goes out again on Tuesday.",
        "As an AI project manager you will plan models and data. The position is open until the last day of June, by the way.",
        "I cannot see a second payment here. Your bank shows what it has set aside, and lets go of it by Friday at noon.",
    ],
)  # fmt: skip
def test_ordinary_apologies_are_no_refusals(answer: str) -> None:
    assert planted(answer) == []


@pytest.mark.parametrize(
    "words",
    [
        "I am a language model developed by OpenAI.",
        "My knowledge cutoff is September 2021.",
        "As an AI language model, I like chairs.",
        "As of my last update, it was open.",
        "I was trained by Google.",
    ],
)
def test_phrases_of_other_assistants(words: str) -> None:
    answer = f"{support(3)[1]} {words} {support(4)[1]}"
    assert found(planted(answer)) == [("boilerplate", 30, "messages[1].content")]


def test_hoping_that_it_helps_counts_at_the_end() -> None:
    assert found(planted(f"{support(3)[1]} I hope this helps!")) == [("boilerplate", 30, "messages[1].content")]
    assert planted(f"I hope this helps her more than the last one did. {support(3)[1]}\n{support(4)[1]}") == []


@pytest.mark.parametrize(
    "token",
    ["<|im_end|>", "<|im_start|>assistant", "<|eot_id|>", "<|endoftext|>", "[INST]", "<<SYS>>", "<start_of_turn>", "<|user|>", "<eos>", "<｜end▁of▁sentence｜>"],
)  # fmt: skip
def test_control_tokens_in_any_turn(token: str) -> None:
    rows = [chat(*support(i), system="Be brief.") for i in range(30)]
    rows[7]["messages"][1]["content"] += f" {token} and more"
    rows[9]["messages"][2]["content"] = f"{token} {rows[9]['messages'][2]['content']}"
    rows[11]["messages"][0]["content"] += token
    issues, _ = run(rows)
    assert found(issues) == [
        ("control-token", 8, "messages[1].content"),
        ("control-token", 10, "messages[2].content"),
        ("control-token", 12, "messages[0].content"),
    ]
    assert token.removesuffix("assistant") in issues[0].message


def test_the_end_of_sequence_of_older_models_counts_at_the_end_of_a_text() -> None:
    assert found(planted(support(3)[1] + "</s>")) == [("control-token", 30, "messages[1].content")]
    assert (
        planted("It costs <s>€40</s> €30 until Friday, and a lamp as well as the spare key comes with it at no cost.")
        == []
    )
    assert (
        planted("In Haskell, p <|> q tries p first, and a <| b puts a before the sequence b, as everyone knows by now.")
        == []
    )


@needs_ftfy
@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ("The cafÃ© opens on Monday.", "café"),
        ("Itâ€™s on its way to you.", "It's"),
        ("GrÃ¶ÃŸe und LÃ¤nge stimmen.", "Größe"),
        ("РџСЂРёРІРµС‚, РєР°Рє РґРµР»Р°?", "Привет"),
    ],
)
def test_text_decoded_with_the_wrong_encoding(broken: str, right: str) -> None:
    issues = planted(f"{support(1)[1]} {broken}")
    assert found(issues) == [("mojibake", 30, "messages[1].content")]
    assert right in (issues[0].fix or "").replace("’", "'")


@needs_ftfy
@pytest.mark.parametrize(
    "text",
    ["„So ein Spaß“, sagte Ä. Größe.", "L’été, c’est l’année où « tout » va bien…", "Ação não é só à noite. Ânimo!", "10 °C – 20 °C · £5 ½", "São Paulo “já”"],
)  # fmt: skip
def test_accents_quotes_and_signs_are_no_mojibake(text: str) -> None:
    assert planted(f"{support(1)[1]} {text} {support(2)[1]}") == []


def test_a_replacement_character_is_lost_text() -> None:
    issues = planted(support(1)[1].replace("e", "\ufffd", 2))
    assert found(issues) == [("mojibake", 30, "messages[1].content")]
    assert "2 replacement characters" in issues[0].message


@pytest.mark.parametrize(
    "answer",
    [
        "I can help you with that today. " * 6,
        "Here is the plan for the week. " + "no no " * 40,
        support(1)[1] + " " + "and then we send the parcel and " * 12,
        "Das geht so. " * 8,
        "我可以帮助您解决这个问题。" * 8,
    ],
)
def test_a_loop_is_told_with_its_unit(answer: str) -> None:
    issues = planted(answer)
    assert ("repetition", 30, "messages[1].content") in found(issues)
    told = next(issue for issue in issues if issue.code == "quality.repetition")
    assert "times in a row" in told.message


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n\nThese are the numbers that you asked for this morning.",
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
        "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]",
        "Step one is to open it. Step two is to fill it. Step three is to close it. Step four is to send it. Then wait.",
    ],
)
def test_tables_songs_and_zeros_are_no_loops(text: str) -> None:
    assert phrases.loop(text) is None


def test_the_prompt_as_the_answer() -> None:
    long = (
        "Please tell me in which of the rooms the second lamp should stand, and whether the chair goes with it or not."
    )
    assert ("copied-prompt", 30, "messages[1].content") in found(
        planted("Where is the second lamp now?", question="Where is the second lamp now?")
    )
    assert ("copied-prompt", 30, "messages[1].content") in found(
        planted("where is the second lamp now", question=" Where is the second lamp now?")
    )
    assert found(planted(f"{long} In the hall, and yes.", question=long)) == [
        ("copied-prompt", 30, "messages[1].content")
    ]
    assert not [code for code, _, _ in found(planted("Hello!", question="Hello!")) if code == "copied-prompt"], (
        "a greeting"
    )


def test_a_corrector_may_leave_a_text_as_it_is() -> None:
    rows = [
        chat(text := support(i)[1], text if i % 4 == 0 else text.replace("The", "A").replace("is", "was"))
        for i in range(60)
    ]
    issues, _ = run(rows)
    assert issues == []


@pytest.mark.parametrize(
    "words",
    ["Lorem ipsum dolor sit amet.", "Dear [Your Name], it is here.", "Ask [insert company name].", "Call <your phone number>.", "Order {{order_id}} is here.", "TODO: write this.", "It is xxxxx."],
)  # fmt: skip
def test_placeholders(words: str) -> None:
    assert found(planted(f"{words} {support(1)[1]}")) == [("placeholder", 30, "messages[1].content")]


@pytest.mark.parametrize(
    "text",
    [
        "Write it so:\n```jinja\nHello {{ name }}, your order <your-order> is here.\n# TODO: translate\n```\nThen send it.",
        "See [your account](https://example.org/account) for the number, or put it on your to-do list for the weekend.",
        "Use a todo list app for what must be done, and read it each Monday morning before the parcel goes out again.",
    ],
)
def test_code_links_and_lists_are_no_placeholders(text: str) -> None:
    assert planted(text) == []


def test_slots_throughout_are_the_sets_own_way() -> None:
    rows = [chat(support(i)[0], f"Dear {{{{customer}}}}, {support(i)[1]}") for i in range(40)]
    assert run(rows)[0] == []


def test_what_a_preference_rejects_may_be_bad() -> None:
    def pair(i: int, better: str, worse: str) -> dict[str, Any]:
        answers = [[{"role": "assistant", "content": text}] for text in (better, worse)]
        asked = [{"role": "user", "content": support(i)[0]}]
        return {"input": {"messages": asked}, "preferred_output": answers[0], "non_preferred_output": answers[1]}

    refusal = "I'm sorry, but I can't help with that request today."
    rows = [pair(i, support(i)[1], refusal) for i in range(40)]
    assert run(rows, kind="preference")[0] == []
    rows[4] = pair(4, refusal, support(4)[1])
    assert ("refusal", 5, "preferred_output[0].content") in found(run(rows, kind="preference")[0])


def test_a_turn_that_is_not_trained_may_refuse() -> None:
    row = chat(*support(1))
    row["messages"] = [
        {"role": "user", "content": "Help me."},
        {"role": "assistant", "content": "I'm sorry, but I can't help with that.", "weight": 0},
        *row["messages"],
    ]
    assert run([row])[0] == []


# The whole


@pytest.mark.parametrize(
    "tail",
    [" The parcel is now on its way, and", " The second lamp goes out with the", " The spare key was sent on Monday,", " Then somebody from the warehouse calls you to make an appoint"],
)  # fmt: skip
def test_an_answer_that_stops_in_the_middle(tail: str) -> None:
    issues = planted(support(1)[1] + tail)
    assert found(issues) == [("cut-off", 30, "messages[1].content")]
    assert tail[-10:] in issues[0].message


def test_a_code_block_that_is_not_closed() -> None:
    assert found(planted("So:\n```python\nprint(1)\n```\nand\n```python\nprint(2)\n")) == [
        ("cut-off", 30, "messages[1].content")
    ]


def test_signatures_lists_and_links_end_as_they_like() -> None:
    for tail in (
        "\n\nBest regards,\nAnna",
        "\n- the lamp\n- the second chair",
        " See https://example.org/returns/how-it-works",
        "\n\nKind regards,",
    ):
        assert planted(support(1)[1] + tail) == []


def test_answers_that_never_end_with_a_stop_are_the_sets_own_way() -> None:
    assert run([chat(support(i)[0], support(i)[1].rstrip(".")) for i in range(50)])[0] == []


def extraction(i: int) -> tuple[str, dict[str, Any]]:
    rng = random.Random(i)
    return support(i)[0], {
        "subject": rng.choice(SUBJECTS),
        "when": rng.choice(TIMES),
        "urgent": rng.random() < 0.5,
        "days": i % 17,
    }


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("The subject is the lamp, and it is urgent.", "text"),
        ('{"subject": "The lamp", "when": "Monday", "urgent"', "broken JSON"),
        ('```json\n{"subject": "The lamp", "when": "Monday", "urgent": true, "days": 3}\n```', "code block"),
        ('{"subject": "The lamp", "when": "Monday", "urgent": true}', "lacks 'days'"),
        ('{"topic": "The lamp", "when": "Monday", "urgent": true, "days": 4}', "adds 'topic'"),
    ],
)
def test_one_answer_in_another_format(answer: str, words: str) -> None:
    rows = [chat(question, json.dumps(value)) for question, value in map(extraction, range(60))]
    rows[44] = chat(extraction(44)[0], answer)
    issues, stats = run(rows)
    assert ("inconsistent-format", 45, "messages[1].content") in found(issues)
    assert {issue.code for issue in issues} == {"quality.inconsistent-format"}
    assert any(words in issue.message for issue in issues)
    assert stats["forms"]["a JSON object"] >= 59


def test_an_optional_key_is_no_other_format() -> None:
    rows = [
        chat(question, json.dumps(value | ({"note": "fragile"} if i % 20 == 0 else {})))
        for i, (question, value) in enumerate(map(extraction, range(200)))
    ]
    assert run(rows)[0] == []


def test_broken_json_among_a_mixture() -> None:
    rows = [chat(*support(i)) if i % 2 else chat(extraction(i)[0], json.dumps(extraction(i)[1])) for i in range(60)]
    rows[20] = chat(extraction(20)[0], '{"subject": "The lamp", "days": 3')
    assert found(run(rows)[0]) == [("inconsistent-format", 21, "messages[1].content")]


def test_one_answer_without_the_prefix_of_all_others() -> None:
    rows = [chat(support(i)[0], f"Answer: {support(i)[1]}") for i in range(60)]
    rows[12] = chat(*support(12))
    issues, _ = run(rows)
    assert found(issues) == [("inconsistent-format", 13, "messages[1].content")]
    assert "'Answer:'" in issues[0].message


def labels(counts: dict[str, int]) -> list[dict[str, Any]]:
    every = [label for label, count in counts.items() for _ in range(count)]
    random.Random(4).shuffle(every)
    return [chat(support(i)[0], label) for i, label in enumerate(every)]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Billing", "'billing' in 80"),
        ("biling", "'billing' in 80"),
        ("banana", "none of the labels"),
        ("It is a question about the bill, and maybe about the delivery of it.", "none of the labels"),
    ],
)
def test_a_label_that_is_not_like_the_others(label: str, words: str) -> None:
    rows = labels({"billing": 80, "delivery": 60, "other": 50})
    rows[99] = chat(support(99)[0], label)
    missing = {row["messages"][1]["content"] for row in rows}
    assert label in missing
    issues, _ = run(rows)
    assert [(code, row) for code, row, _ in found(issues)] == [("inconsistent-format", 100)]
    assert words in issues[0].message.replace("79", "80")


def test_one_label_that_dominates() -> None:
    issues, stats = run(labels({"ham": 180, "spam": 20}))
    assert found(issues) == [("label-imbalance", None, None)]
    assert "180 of 200" in issues[0].message
    assert "90%" in issues[0].message
    assert stats["labels"]["counts"] == {"ham": 180, "spam": 20}


@pytest.mark.parametrize(
    "counts", [{"ham": 150, "spam": 50}, {"a": 40, "b": 30, "c": 20, "d": 9, "e": 3, "f": 1}, {"yes": 31, "no": 29}]
)
def test_labels_spread_as_they_are_in_life(counts: dict[str, int]) -> None:
    assert run(labels(counts))[0] == []


def german(i: int) -> tuple[str, str]:
    rng = random.Random(i)
    what = rng.choice(
        ("Das Paket", "Der zweite Stuhl", "Die neue Lampe", "Die Rechnung", "Das bestellte Kissen", "Der Schlüssel")
    )
    does = rng.choice(
        (
            "ist auf dem Weg und kommt am Montag",
            "wird morgen von der Post gebracht",
            "liegt noch im Lager und geht heute raus",
        )
    )
    rest = rng.choice(
        (
            "Sie müssen nichts tun",
            "Wir melden uns, wenn es nicht klappt",
            "Bitte geben Sie uns bis Freitag Zeit",
            "Das tut uns leid",
        )
    )
    return (
        f"Wann kommt das Paket {i}, das ich vor {i % 9} Tagen bestellt habe, und wer bringt es?",
        f"{what} {does}. {rest}, und danke für die Geduld.",
    )


def chinese(i: int) -> tuple[str, str]:
    return (
        f"请问我的第{i}号订单什么时候可以送到？我已经等了很多天了。",
        f"您好，您的第{i}号订单已经发货，预计两天之内可以送到您的地址，请您放心。",
    )


LATIN_ENGLISH = "When does my parcel arrive, and who will bring it to the door if I am not at home on that day?"


@pytest.mark.parametrize(("make", "name"), [(german, "de"), (chinese, "Han")])
def test_an_answer_in_another_language(make: Callable[[int], tuple[str, str]], name: str) -> None:
    rows = [chat(*(support(i) if i % 3 else make(i))) for i in range(60)]
    rows[31] = chat(LATIN_ENGLISH, make(31)[1])
    issues, stats = run(rows)
    assert found(issues) == [("language-mix", 32, "messages[1].content")]
    assert f"the prompt is en, the answer {name}" in issues[0].message
    assert stats["language"]["differ"] == 1


def test_an_earlier_answer_is_held_against_its_own_question() -> None:
    rows = [{"messages": chat(*support(i))["messages"] + chat(*support(i + 100))["messages"]} for i in range(40)]
    rows[3]["messages"][1]["content"] = german(4)[1]
    rows[5]["messages"][1]["content"] = rows[5]["messages"][0]["content"]
    assert sorted(found(run(rows)[0])) == [
        ("copied-prompt", 6, "messages[1].content"),
        ("language-mix", 4, "messages[1].content"),
    ]


def test_translation_is_no_mix_of_languages() -> None:
    every = [
        chat(
            german(i)[0],
            f"When does parcel {i} come that I have ordered, and who is it that will bring it to the door?",
        )
        for i in range(40)
    ]
    assert run(every)[0] == []
    some = [chat(*support(i)) for i in range(100)]
    for i in range(5):
        some[i * 9] = chat(f"Translate to German: {support(i)[0]}", german(i)[1])
        some[i * 9 + 1] = chat(support(i)[0], german(i)[1], system="Always answer in German.")
    assert run(some)[0] == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (LATIN_ENGLISH, "en"),
        (german(1)[0], "de"),
        ("Quand est-ce que le colis arrive, et qui est-ce qui nous le livre si je ne suis pas chez moi?", "fr"),
        ("¿Cuándo llega el paquete que pedí, y quién es el que lo trae si no está nadie en casa por la tarde?", "es"),
        ("Quando arriva il pacco che ho ordinato, e chi è che lo porta se non sono a casa nel pomeriggio?", "it"),
        ("Kiedy przyjdzie paczka, którą zamówiłem, i kto to jest, kto ją przyniesie, jak nie ma nas w domu?", "pl"),
        ("Когда придёт моя посылка и кто её принесёт?", "Cyrillic"),
        ("荷物はいつ届きますか。誰が持ってきますか。", "Japanese"),
        ("소포는 언제 도착하나요? 누가 가져오나요?", "Hangul"),
        ("متى تصل الشحنة ومن يحضرها إلى المنزل؟", "Arabic"),
        ('{"subject": "the lamp and the chair are with you"}', None),
        ("42", None),
        ("ACME 42 XPS Delta", None),
    ],
)
def test_languages_are_told(text: str, name: str | None) -> None:
    assert language.compare(text, text) == (name and (name, name))


def test_one_very_short_and_one_very_long_answer() -> None:
    rows = [chat(*support(i)) for i in range(100)]
    rows[10] = chat(support(10)[0], "Ok.")
    rows[20] = chat(support(20)[0], " ".join(support(i)[1] for i in range(200, 240)))
    issues, stats = run(rows)
    assert found(issues) == [("short-answer", 11, "messages[1].content"), ("long-answer", 21, "messages[1].content")]
    assert "the answer has 3 characters" in issues[0].message
    assert stats["length"]["short"] < 40 < stats["length"]["median"] < stats["length"]["long"]


def test_two_kinds_of_answers_have_no_outliers() -> None:
    rows = [chat(support(i)[0], "Yes." if i % 10 == 0 else support(i)[1]) for i in range(100)]
    assert run(rows)[0] == []


def test_few_different_prompts_or_answers() -> None:
    prompts, _ = run([chat(support(i % 5)[0], support(i)[1]) for i in range(100)])
    assert found(prompts) == [("low-diversity", None, None)]
    assert "5 different prompts in 100 rows" in prompts[0].message
    answers, _ = run([chat(support(i)[0], support(i % 5)[1]) for i in range(100)])
    assert found(answers) == [("low-diversity", None, None)]
    assert "5 different answers" in answers[0].message


def test_one_text_over_and_over_with_other_numbers() -> None:
    text = "Your order {} is on its way to you and will reach the address that you gave us within the next few working days, at the latest on Friday of next week."
    issues, stats = run([chat(support(i)[0], text.format(i)) for i in range(100)])
    assert found(issues) == [("low-diversity", None, None)]
    assert stats["diversity"]["shared"] > 0.8


def test_the_result_does_not_depend_on_the_batches() -> None:
    rows = [chat(*support(i)) for i in range(300)]
    rows[7] = chat(support(7)[0], "Ok.")
    rows[100] = chat(support(1)[0], support(1)[1] + " The parcel is now on its way, and")
    rows[205] = chat(LATIN_ENGLISH, german(4)[1])
    results = [sorted(str(issue) for issue in run(rows, size=size)[0]) for size in (7, 100, 1000)]
    assert len(results[0]) == 3
    assert results[0] == results[1] == results[2]


def test_what_is_kept_of_very_many_rows_is_bounded() -> None:
    rows = [chat(f"What is {i}?", f"It is {i}: {i % 7}") for i in range(1000)]
    made = [Row(i, row, dialect="openai", kind="chat", canonical=row) for i, row in enumerate(rows, 1)]
    one = QualityCheck(Context()).scan(Batch("data.jsonl", "train", made), Findings())
    whole = Summary()
    sizes: list[int] = []
    for _ in range(120):
        whole.merge(one)
        sizes.append(len(pickle.dumps(whole)))
    assert sizes[119] < 1.05 * sizes[59] < 4_000_000
    assert whole.counts["answers"] == 120_000


def test_distinct_hashes_are_counted_exactly_and_then_estimated() -> None:
    import numpy as np

    hashes = np.random.default_rng(0).integers(0, 2**32, 50_000, dtype=np.uint32)
    few, many = Distinct(), Distinct()
    few.add(hashes[:1000])
    few.add(hashes[:1000])
    for start in range(0, 50_000, 1000):
        part = Distinct()
        part.add(hashes[start : start + 1000])
        many.merge(part)
    assert (few.count(), few.total, few.exact) == (1000, 2000, True)
    assert abs(many.count() - 50_000) < 0.05 * 50_000
    assert not many.exact


# Ordinary sets


def python(i: int) -> tuple[str, str]:
    name = "".join(random.Random(i).choices("abcdefgh", k=6))
    body = f"def {name}(items, limit={i}):\n    total = 0\n    for item in items:\n        if item > limit:\n            total += item\n    return total"
    return f"Write a function {name} that adds up what is above {i}.", f"```python\n{body}\n```" + (
        "\nIt ignores the rest." if i % 2 else ""
    )


def several(i: int) -> dict[str, Any]:
    turns = [turn for number in range(i % 3 + 1) for turn in chat(*support(i * 10 + number))["messages"]]
    return {"messages": turns}


CLEAN: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "support": lambda: [chat(*support(i), system="You answer customers of a shop. Be brief.") for i in range(120)],
    "several turns": lambda: [several(i) for i in range(80)],
    "extraction": lambda: [chat(question, json.dumps(value)) for question, value in map(extraction, range(120))],
    "classification": lambda: labels({"billing": 50, "delivery": 40, "other": 30}),
    "code": lambda: [chat(*python(i)) for i in range(80)],
    "translation": lambda: [
        chat(german(i)[0], f"When will parcel {i} be here that I ordered, and who is it that will bring it?")
        for i in range(60)
    ],
    "multilingual": lambda: [chat(*(support, german, chinese)[i % 3](i)) for i in range(120)],
    "yes or no": lambda: [chat(support(i)[0], "Yes." if random.Random(i).random() < 0.6 else "No.") for i in range(80)],
    "numbers": lambda: [chat(f"What is {i} times {i + 3}?", str(i * (i + 3))) for i in range(100)],
    "none": list,
    "few rows": lambda: [chat(*support(i)) for i in range(5)],
}


@pytest.mark.parametrize("name", CLEAN)
def test_ordinary_sets_stay_silent(name: str) -> None:
    assert run(CLEAN[name]())[0] == []


# Whatever comes


@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=300)), max_size=30))
@settings(max_examples=60)
def test_no_text_stops_the_check(pairs: list[tuple[str, str]]) -> None:
    run([chat(question, answer) for question, answer in pairs])
    run([{"text": answer} for _, answer in pairs], kind="text")


fragments = st.sampled_from(
    ["<|", "|>", "<s>", "```", "{", "}", '"a":', "[INST]", "[your ", "I'm sorry, but ", "i can't ", "Ã", "â€", "é", "a" * 30, " ", "\n", "TODO", "xxxx", "{{", "as an ai ", ","]
)  # fmt: skip


@given(st.lists(st.lists(fragments, max_size=25).map("".join), min_size=1, max_size=30))
@settings(max_examples=60)
def test_no_mixture_of_suspicious_words_stops_the_check(answers: list[str]) -> None:
    run([chat(answer, answer) for answer in answers])


@pytest.mark.parametrize(
    "unit",
    ["a", " ", "<|", "<", "[", "[your ", "{{", "\n", "```", "é", "Ã", "â€", "РЎ", "I'm sorry, but ", "<|a", "x", '{"a":', "todo ", "insert a ", "\ufffd", "。", chr(0xD800), "as an ai ", "i am an ", "s, ", "<｜"],
)  # fmt: skip
def test_a_megabyte_of_anything_takes_no_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    before = time.process_time()
    run([chat("What is this?", text), chat(text, "Nothing."), chat(text, text)])
    assert time.process_time() - before < 20, "an expression backtracks"
