# ruff: noqa: E501 - a table reads better in one line a row
"""Ordinary rows that resemble a defect and are none: each is a false alarm waiting to happen."""

from __future__ import annotations

from tests.corpus.invented import luhn_digit
from tests.corpus.words import Row, chat


def _not_a_card() -> str:
    """Sixteen digits that fail the card checksum, as a parcel's number has."""
    body = "400391488034643"
    return body + str((int(luhn_digit(body)) + 3) % 10)


def _imei() -> str:
    body = "35290611074321"
    return body + luhn_digit(body)


LOOKALIKES: dict[str, tuple[str, str]] = {
    "an apology that is no refusal": (
        "Can you send lithium batteries for the drill to the Faroe Islands by air?",
        ("Unfortunately we can't send loose lithium batteries by air, because the airline doesn't take them. By ship it works: the crossing adds six "
        "days and costs four euros more. Shall I change the order to that?"),
    ),
    "sorry, and then help": (
        "The lid of my new teapot is chipped and I had wanted to give it away tomorrow.",
        ("I'm sorry to hear that, and I understand that you can't wait. The shop in the Lindengasse has two in stock until seven tonight; show them a photo "
        "and they'll swap it on the spot."),
    ),
    "a limit honestly stated": (
        "Is the climbing rope safe after it lay in the sun for a whole summer?",
        ("Nobody can tell from a photo, and I won't guess with a rope. Ultraviolet light weakens nylon without a trace, so the maker's rule is to retire it "
        "after a season outdoors. Use it for tying up boxes from now on."),
    ),
    "a parcel's number of sixteen digits": (
        "Where do I type the long number from the carrier's slip?",
        f"On the carrier's page under Track. Yours is {_not_a_card()}; leave out the spaces, and the map opens by itself.",
    ),
    "a telephone's serial number": (
        "Support asked for the IMEI of my phone and I don't know where to find it.",
        f"Dial *#06# and it appears on the screen, something like {_imei()} with fifteen digits. It's printed inside the battery lid too.",
    ),
    "a book's number": (
        "Which edition of the bread book do you stock?",
        "The third one, ISBN 978-3-16-148410-0, from spring 2024. The second had 978-0-306-40615-7 and lacks the chapter on rye.",
    ),
    "a commit and a checksum": (
        "How do I make sure that I have the fixed firmware?",
        ("The fix is commit 9fceb02d0ae598e95dc970b74767f19372d61af8. After downloading, `sha256sum firmware.bin` must print "
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855."),
    ),
    "a key that is read, not written": (
        "How do I pass the token to your script without pasting it into the code?",
        'Read it from the environment:\n\n```python\nimport os\n\ntoken = os.environ["SHOP_TOKEN"]\nheaders = {"Authorization": f"Bearer {token}"}\n```',
    ),
    "a rule about passwords": (
        "What are the rules for a new password?",
        ("A password must have at least twelve characters and mustn't be one of the last five. Length beats symbols: four unrelated words are hard to guess and "
        "easy to type."),
    ),
    "an identifier": (
        "The log shows a long code next to the error. What is it?",
        "That's the request's identifier, 3f2b8c1e-7a4d-4f5b-9c0e-2d6a1b3c4e5f in your case. Quote it and we find the very line on our side.",
    ),
    "addresses that are no e-mail": (
        "How do I clone the repository and pin the right version?",
        "Run `git clone git@git.halden-moss.test:tools/labels.git`, then `npm install labels@2.4.1`. The decorator is `@labels.page`.",
    ),
    "numbers that are no telephone": (
        "What are the exact coordinates and the lot number of the allotment?",
        "It lies at 52.520008, 13.404954, lot 0412-88/7, on the map sheet 3446-SO. The gate code changes on 2026-12-01 at 08:00.",
    ),
    "capitals with tilde and ring": (
        "Como se escreve o nome da cidade em maiúsculas no cartão?",
        "Escreve-se SÃO JOÃO DA PESQUEIRA, com til nas duas palavras. Em minúsculas fica São João da Pesqueira, e AÇÃO segue a mesma regra.",
    ),
    "French capitals": (
        "Comment présenter le titre de notre fête sur l'affiche ?",
        "Écrivez « À CÔTÉ DU CHÂTEAU » sur une ligne et « où l’on danse jusqu’à l’aube » dessous. Gardez les accents : GARÇON sans cédille serait une faute.",
    ),
    "letters with combining marks": (
        "Why does a search for cafe\u0301 find nothing, though the word is there?",
        "The word was typed as e plus a combining accent (cafe\u0301), while the index holds the single letter (café). Normalise both to NFC before comparing.",
    ),
    "a word in another language": (
        "How do you say good morning in Finnish, and how is it pronounced?",
        "Hyvää huomenta. The ä is the a of “cat”, the y is a French u, and the stress always lies on the first syllable of each word.",
    ),
    "an answer in the language that was asked for": (
        "Write a short out-of-office note in German for the first week of May.",
        ("Guten Tag, ich bin in der ersten Maiwoche nicht im Büro und lese keine Nachrichten. In dringenden Fällen hilft Ihnen meine Kollegin am Empfang gern "
        "weiter. Ab dem 8. Mai antworte ich wieder."),
    ),
    "a refrain": (
        "I need a two-verse song for the children's boat trip.",
        ("Row along the reedy shore,\nsplash, splash, away we go,\none oar less than once before,\nsplash, splash, away we go.\n\nHeron on a single leg,\nsplash, "
        "splash, away we go,\nguards a blue and speckled egg,\nsplash, splash, away we go!"),
    ),
    "a table": (
        "Show me the seven times table up to 84 in a form that I can print.",
        "| times | result |\n|---|---|\n" + "\n".join(f"| 7 x {n} | {7 * n} |" for n in range(1, 13)),
    ),
    "an answer that ends in code": (
        "Which command shows the ten largest folders below the current one?",
        "Sort the sizes and take the head of the list:\n\n```sh\ndu -sh -- */ | sort -rh | head -n 10\n```",
    ),
    "an answer that ends in a list": (
        "What do I pack for one night in a mountain hut?",
        "Less than you think:\n\n- a sleeping bag liner\n- socks for the evening\n- cash, as there is no reception\n- earplugs\n- a head torch",
    ),
    "double braces in a page template": (
        "How do I print the title of each post in Jekyll?",
        "Loop over the posts:\n\n```liquid\n{% for post in site.posts %}\n  <h2>{{ post.title }}</h2>\n{% endfor %}\n```",
    ),
    "brackets that are no placeholder": (
        "How do I tick off a task in Markdown, and how do I cite a source?",
        ("Write `- [x] water the ferns` for a finished task and `- [ ] call the roofer` for an open one. A source is cited as [1] and listed below, or linked: "
        "[the guide](https://docs.halden-moss.test/guide)."),
    ),
    "generics and comparison signs": (
        "What is the difference between List<String> and std::vector<int> when I compare sizes?",
        ("Both know their length: `list.size() < limit` in Java, `values.size() < limit` in C++. Beware that the second is unsigned, so `size() - 1` of an empty "
        "vector is huge."),
    ),
    "talk about language models": (
        "What is a language model, in two sentences for my grandfather?",
        "It's a program that has read a great deal and guesses the next word again and again. It doesn't look things up, so it can sound sure and still be wrong.",
    ),
    "a correction that keeps most words": (
        "Correct this sentence: The shelves was delivered on Tuesday and fits perfectly above the desk in the study.",
        "The shelves were delivered on Tuesday and fit perfectly above the desk in the study.",
    ),
    "mathematics": (
        "How do I solve 3x² + 6x = 24?",
        "Divide by three: x² + 2x − 8 = 0, so (x + 4)(x − 2) = 0 and x is −4 or 2. In general x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}.",
    ),
    "JSON where one question asks for it": (
        "Give me the opening hours as JSON, please.",
        '{"weekdays": {"from": "09:00", "to": "18:30"}, "saturday": {"from": "10:00", "to": "14:00"}, "sunday": null}',
    ),
    "emoji joined from several": (
        "Which emoji do I use for a family of four and for the flag of Wales?",
        "👨‍👩‍👧‍👦 for the family, which is four people joined by invisible joiners, and 🏴󠁧󠁢󠁷󠁬󠁳󠁿 for Wales, built from a black flag and tags.",
    ),
    "a list that I should do": (
        "Can you turn my to-do list into a plan for Saturday: paint the fence, buy lentils, call Aunt Odile?",
        ("Paint the fence from nine while it's cool, call Aunt Odile during the second coat's drying time, and buy the lentils on the way to dinner. Nothing on it "
        "needs more than an hour."),
    ),
}  # fmt: skip


def rows() -> list[Row]:
    return [chat(("user", asked), ("assistant", told)) for asked, told in LOOKALIKES.values()]
