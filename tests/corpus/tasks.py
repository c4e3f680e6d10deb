# ruff: noqa: E501 - a table reads better in one line a row
"""Sets of tasks: extraction, classification, code, translation, tools, preferences, reinforcement, and ordinary rows that look alarming."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus.talk import ENGLISH, KINDS, SYSTEM, answer, facts, question
from tests.corpus.words import Row, Words, chat, distinct, lines

EXTRACT = 'Read the message and answer with one JSON object: {"topic", "product", "city", "days", "urgent", "items"}.'
LABELS = ("delivery", "refund", "fault", "account")


def extraction(seed: int | str, count: int) -> list[Row]:
    """A message and the JSON object that says what is in it."""
    w = Words(f"extraction {seed}", ENGLISH)

    def make(number: int) -> Row:
        kind, known = w.pick(KINDS), facts(w)
        items = [{"name": w.pick(ENGLISH["product"]), "count": w.number(1, 12)} for _ in range(w.number(1, 3))]
        listed = "; ".join(f"{item['count']} x {item['name']}" for item in items)
        text = w.say(
            "(I'd like to add|Please also send|We still want|Put on my list) {listed}, (to {city}|for the flat in {city})"
            ", (within|in) {days} days(, it's urgent|, no hurry|).",
            listed=listed, **known,
        )  # fmt: skip
        found = {
            "topic": kind, "product": items[0]["name"], "city": known["city"], "days": known["days"],
            "urgent": "urgent" in text, "items": items,
        }  # fmt: skip
        message = f"{question(w, kind, known)} {text}"
        return chat(("system", EXTRACT), ("user", message), ("assistant", json.dumps(found, ensure_ascii=False)))

    return distinct(make, count)


def classification(seed: int | str, count: int) -> list[Row]:
    """A message and one of four labels, as many of each."""
    w = Words(f"classification {seed}", ENGLISH)
    order = [LABELS[n % len(LABELS)] for n in range(count)]
    w.rng.shuffle(order)
    system = f"Which desk is this for? Answer with one word: {', '.join(LABELS)}."
    return distinct(
        lambda n: chat(("system", system), ("user", question(w, order[n], facts(w))), ("assistant", order[n])), count
    )


_THINGS = lines("""
    invoices: customer, total, due, currency
    readings: sensor, value, taken_at, unit
    players: nickname, points, joined, country
    recipes: title, minutes, servings, author
    tickets: assignee, priority, opened, channel
    trees: species, height, planted, district
    flights: carrier, delay, departed, gate
    songs: artist, seconds, released, genre
    parcels: depot, weight, shipped, courier
    loans: borrower, amount, granted, branch
    patients: ward, age, admitted, nurse
    lessons: teacher, length, starts, room
""")
_PYTHON = lines(r"""
    Group {thing} by {a} and (sum|average) their {b}.@def {b}_by_{a}({thing}):\n    totals = {}\n    for item in {thing}:\n        totals.setdefault(item["{a}"], []).append(item["{b}"])\n    return {key: sum(values) / len(values) for key, values in totals.items()}
    Sort {thing} by {b}, (largest|highest) first, and return the top n.@import heapq\n\n\ndef top_{thing}({thing}, n=10):\n    return heapq.nlargest(n, {thing}, key=lambda item: item["{b}"])
    Write {thing} to a CSV file with {a} and {b} only.@import csv\n\n\ndef save({thing}, path):\n    with open(path, "w", newline="", encoding="utf-8") as file:\n        writer = csv.DictWriter(file, fieldnames=["{a}", "{b}"], extrasaction="ignore")\n        writer.writeheader()\n        writer.writerows({thing})
    I need a dataclass for {thing} that refuses a negative {b}.@from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Item:\n    {a}: str\n    {b}: float\n\n    def __post_init__(self):\n        if self.{b} < 0:\n            raise ValueError(f"{b} must not be negative, got {self.{b}}")
    Stream a large JSON-lines file of {thing} and yield those where {b} is above a limit.@import json\n\n\ndef above(path, limit):\n    with open(path, encoding="utf-8") as file:\n        for line in file:\n            item = json.loads(line)\n            if item["{b}"] > limit:\n                yield item
    Find {thing} whose {c} lies within the last n days.@from datetime import datetime, timedelta\n\n\ndef recent({thing}, days, now=None):\n    since = (now or datetime.now()) - timedelta(days=days)\n    return [item for item in {thing} if item["{c}"] >= since]
    Merge two lists of {thing}, keeping the newer one by {c} when {a} is the same.@def merge(old, new):\n    kept = {item["{a}"]: item for item in old}\n    for item in new:\n        known = kept.get(item["{a}"])\n        if known is None or item["{c}"] > known["{c}"]:\n            kept[item["{a}"]] = item\n    return list(kept.values())
    Add a pytest for a function that counts {thing} per {d}.@from collections import Counter\n\n\ndef count_by_{d}({thing}):\n    return Counter(item["{d}"] for item in {thing})\n\n\ndef test_counts():\n    rows = [{"{d}": "x"}, {"{d}": "y"}, {"{d}": "x"}]\n    assert count_by_{d}(rows) == {"x": 2, "y": 1}
""")
_SQL = lines(r"""
    Which {a} has the (most|largest number of) {thing} in each {d}?@SELECT {d}, {a}, n\nFROM (\n  SELECT {d}, {a}, COUNT(*) AS n,\n         ROW_NUMBER() OVER (PARTITION BY {d} ORDER BY COUNT(*) DESC) AS place\n  FROM {thing}\n  GROUP BY {d}, {a}\n) ranked\nWHERE place = 1;
    Show the running total of {b} by {c}.@SELECT {c}, SUM({b}) OVER (ORDER BY {c} ROWS UNBOUNDED PRECEDING) AS running\nFROM {thing}\nORDER BY {c};
    List every {d} without any {thing} since January.@SELECT d.name\nFROM {d}_list AS d\nLEFT JOIN {thing} AS t ON t.{d} = d.name AND t.{c} >= '2026-01-01'\nWHERE t.{d} IS NULL;
    Delete duplicates in {thing} with the same {a} and {c}, keep the one with the highest {b}.@DELETE FROM {thing} AS t\nUSING {thing} AS better\nWHERE t.{a} = better.{a}\n  AND t.{c} = better.{c}\n  AND t.{b} < better.{b};
    What's the median {b} of {thing} per {d}?@SELECT {d}, PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {b}) AS median\nFROM {thing}\nGROUP BY {d};
""")
_SCRIPT = lines(r"""
    Render {thing} as an HTML list, newest {c} first.@export function render({thing}) {\n  const sorted = [...{thing}].sort((a, b) => new Date(b.{c}) - new Date(a.{c}));\n  return `<ul>${sorted.map((x) => `<li>${x.{a}}: ${x.{b}}</li>`).join("")}</ul>`;\n}
    Debounce the search box that filters {thing} by {a}.@let timer;\nsearchBox.addEventListener("input", (event) => {\n  clearTimeout(timer);\n  timer = setTimeout(() => {\n    show({thing}.filter((x) => x.{a}.includes(event.target.value)));\n  }, 250);\n});
    Fetch {thing} page by page until there are none left.@async function* pages(base) {\n  for (let page = 1; ; page += 1) {\n    const response = await fetch(`${base}/{thing}?page=${page}`);\n    if (!response.ok) throw new Error(`{thing}: HTTP ${response.status}`);\n    const items = await response.json();\n    if (items.length === 0) return;\n    yield* items;\n  }\n}
    Group {thing} by {d} with reduce.@const by{d} = {thing}.reduce((groups, item) => {\n  (groups[item.{d}] ??= []).push(item);\n  return groups;\n}, {});
    Write a TypeScript type for {thing} and a guard for unknown input.@type Item = { {a}: string; {b}: number; {c}: string };\n\nexport function isItem(value: unknown): value is Item {\n  const item = value as Item;\n  return typeof item?.{a} === "string" && Number.isFinite(item?.{b});\n}
""")


def code(seed: int | str, count: int) -> list[Row]:
    """Small programming tasks; the answer is a sentence and a fenced block, or the block alone."""
    w = Words(f"code {seed}", ENGLISH)
    asks = ("Python: {task}", "{task} SQL, please.", "{task} In JavaScript, without a library.")
    notes = lines("""
        This runs in (one pass|linear time) and keeps nothing else in memory.
        (Note|Mind) that {b} must be a number (everywhere|in every record), or this fails loudly.
        An empty list of {thing} gives an empty result rather than an error.
        If {a} may be missing, (filter|fill) it first.
        I left out (logging|type hints|retries) so that the idea is easy to see.
        With more than {days} thousand {thing}, an index on {c} pays off.
        Call it from (a cron job|the {d} view|a notebook) as it stands.
        The {d} is compared exactly, so trim (white space|capital letters) before you call it.
    """)
    context = lines("""
        We keep about {days} thousand of them, exported from a (spreadsheet|warehouse tool|phone app) each {weekday}.
        Each one has {a}, {b}, {c} and {d}.
        It's for a (dashboard|night job|school project) in {city}.
        My colleague {first} wrote the current version and it takes {days} minutes.
        Explain the tricky bit, I'm (new to this|coming from {other}).
        Please no (classes|clever one-liners|external packages).
        The field {c} is an ISO date.
        {b} can be (zero|huge) but is never missing.
    """)

    # Each task stands once with each thing: with both alike, the answers would be the same code.
    pairs = [
        (which, task, thing)
        for which, tasks in enumerate((_PYTHON, _SQL, _SCRIPT))
        for task in tasks
        for thing in _THINGS
    ]
    w.rng.shuffle(pairs)

    def make(number: int) -> Row:
        which, template, thing = pairs[number]
        thing, _, fields = thing.partition(": ")
        names = dict(zip("abcd", fields.split(", "), strict=True)) | {"thing": thing}
        task, _, body = template.partition("@")
        for key, value in names.items():
            body = body.replace("{" + key + "}", value)
        known = facts(w) | names | {"other": w.pick(["Java", "R", "Excel", "Pascal"])}
        ask = w.say(" ".join([asks[which].replace("{task}", task), *w.some(context, w.number(1, 3))]), **known)
        block = f"```{('python', 'sql', 'js')[which]}\n{body.encode().decode('unicode_escape')}\n```"
        told = [w.say(note, **known) for note in w.some(notes, w.number(1, 2))]
        return chat(("user", ask), ("assistant", "\n\n".join([block, *told] if number % 2 else [*told, block])))

    return distinct(make, count)


# English, German (nominative, accusative), Spanish
_NOUNS = (
    ("the old bridge", "die alte Brücke", "die alte Brücke", "el puente viejo"),
    ("the white horse", "das weiße Pferd", "das weiße Pferd", "el caballo blanco"),
    ("the last train", "der letzte Zug", "den letzten Zug", "el último tren"),
    ("the open window", "das offene Fenster", "das offene Fenster", "la ventana abierta"),
    ("my younger sister", "meine jüngere Schwester", "meine jüngere Schwester", "mi hermana menor"),
    ("the new doctor", "die neue Ärztin", "die neue Ärztin", "la médica nueva"),
    ("our neighbour's cat", "die Katze unserer Nachbarn", "die Katze unserer Nachbarn", "el gato de los vecinos"),
    ("the red suitcase", "der rote Koffer", "den roten Koffer", "la maleta roja"),
    ("the long letter", "der lange Brief", "den langen Brief", "la carta larga"),
    ("the small island", "die kleine Insel", "die kleine Insel", "la isla pequeña"),
    ("the tired baker", "der müde Bäcker", "den müden Bäcker", "el panadero cansado"),
    ("the glass door", "die Glastür", "die Glastür", "la puerta de cristal"),
    ("the broken clock", "die kaputte Uhr", "die kaputte Uhr", "el reloj roto"),
    ("the quiet garden", "der stille Garten", "den stillen Garten", "el jardín tranquilo"),
)
_FRAMES = (
    ("I have been looking for {x} since {w}.", "Ich suche {y} seit {v}.", "Busco {z} desde el {u}."),
    ("Nobody had expected {x}.", "Niemand hatte {y} erwartet.", "Nadie se esperaba {z}."),
    ("{x} appears only once in the whole film.", "{n} kommt im ganzen Film nur einmal vor.", "En toda la película solo aparece una vez {z}."),
    ("From up here you can see {x} very well.", "Von hier oben sieht man {y} sehr gut.", "Desde aquí arriba se ve muy bien {z}."),
    ("She drew {x} from memory.", "Sie zeichnete {y} aus dem Gedächtnis.", "Dibujó de memoria {z}."),
    ("What would we do without {x}?", "Was täten wir ohne {y}?", "¿Qué haríamos sin {z}?"),
    ("{x} reminds me of home.", "{n} erinnert mich an zu Hause.", "{z} me recuerda a mi casa."),
    ("On {w} they photographed {x}.", "Am {v} fotografierten sie {y}.", "El {u} fotografiaron {z}."),
    ("Please don't forget {x}.", "Bitte vergiss {y} nicht.", "Por favor, no olvides {z}."),
    ("The children laughed about {x} for hours.", "Die Kinder lachten stundenlang über {y}.", "Los niños se rieron durante horas de {z}."),
    ("{x} is the reason why I stayed.", "{n} ist der Grund, warum ich geblieben bin.", "{z} es la razón por la que me quedé."),
)  # fmt: skip
_DAYS = (("Monday", "Montag", "lunes"), ("Tuesday", "Dienstag", "martes"), ("Friday", "Freitag", "viernes"), ("Sunday", "Sonntag", "domingo"))  # fmt: skip


def translation(seed: int | str, count: int) -> list[Row]:
    """English to German or Spanish, and back: the answer's language is not the prompt's, and is right."""
    w = Words(f"translation {seed}")

    def make(number: int) -> Row:
        pair: list[list[str]] = [[], [], []]
        for frame in w.some(_FRAMES, w.number(3, 5)):
            noun, day = w.pick(_NOUNS), w.pick(_DAYS)
            known = {"x": noun[0], "n": noun[1], "y": noun[2], "z": noun[3], "w": day[0], "v": day[1], "u": day[2]}
            for language, text in enumerate(frame):
                pair[language].append(w.say(text, **known))
        english, german, spanish = (" ".join(part) for part in pair)
        name, other = w.pick([("German", german), ("Spanish", spanish)])
        if number % 3:
            return chat(("system", f"Translate from English to {name}."), ("user", english), ("assistant", other))
        return chat(("user", f"Translate into English:\n\n{other}"), ("assistant", english))

    return distinct(make, count)


TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object", "properties": properties, "required": required, "additionalProperties": False
            },
        },
    }
    for name, description, properties, required in (
        ("find_order", "Looks an order up by its number.", {"order": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{5}$"}}, ["order"]),
        (
            "search_products", "Searches the catalogue.",
            {
                "query": {"type": "string", "minLength": 2},
                "colour": {"type": "string"},
                "max_price": {"type": "number", "exclusiveMinimum": 0},
                "sort": {"type": "string", "enum": ["price", "rating", "newest"]},
            },
            ["query"],
        ),
        (
            "book_pickup", "Sends a courier to fetch a parcel.",
            {
                "address": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "floor": {"type": "integer", "minimum": 0}},
                    "required": ["city"],
                },
                "day": {"type": "string"},
                "parcels": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
            },
            ["address", "day"],
        ),
        ("stock_level", "How many there are in a shop.", {"product": {"type": "string"}, "city": {"type": "string"}}, ["product", "city"]),
    )
]  # fmt: skip


def call(number: int | str, name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": f"call_{number}", "type": "function", "function": function}


def result(number: int | str, value: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": json.dumps(value, ensure_ascii=False)}


def asks_tools(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def tools(seed: int | str, count: int) -> list[Row]:
    """Four tools: one call, two at once, one after another, or none."""
    w = Words(f"tools {seed}", ENGLISH)

    def make(number: int) -> Row:
        known, other = facts(w), w.pick(ENGLISH["city"])
        product, order, city = known["product"], known["order"], known["city"]
        one, two = w.code("a9a9a9").lower(), w.code("9a9a9a").lower()
        turns: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
        match number % 4:
            case 0:
                turns += [
                    {"role": "user", "content": question(w, "delivery", known) + f" The number is {order}."},
                    asks_tools(call(one, "find_order", order=order)),
                    result(one, {"order": order, "state": w.pick(["packed", "sent", "held"]), "city": city, "days": known["days"]}),
                ]  # fmt: skip
            case 1:
                turns += [
                    {"role": "user", "content": w.say("{opening} is the {product} in stock in {city} or {other}? {aside}", other=other, **known)},
                    asks_tools(call(one, "stock_level", product=product, city=city), call(two, "stock_level", product=product, city=other)),
                    result(one, {"count": w.number(0, 9)}),
                    result(two, {"count": w.number(0, 40)}),
                ]  # fmt: skip
            case 2:
                turns += [
                    {"role": "user", "content": question(w, "fault", known) + " Could someone fetch it?"},
                    asks_tools(call(one, "find_order", order=order)),
                    result(one, {"order": order, "product": product, "bought": f"2026-0{known['digit']}-{known['day']:02}"}),
                    asks_tools(call(two, "book_pickup", address={"city": city, "floor": known["digit"]}, day=known["weekday"], parcels=[w.number(1, 9)])),
                    result(two, {"booked": True, "slot": f"{known['hour']} to {known['later']}", "van": w.code("AA 999")}),
                ]  # fmt: skip
            case _:
                wanted = w.pick(ENGLISH["colour"])
                turns += [
                    {"role": "user", "content": w.say("{opening} I'm looking for a {wanted} {product} (under|below) {days}0 euros. {aside} {aside}", wanted=wanted, **known)},
                    asks_tools(call(one, "search_products", query=product, colour=wanted, max_price=known["days"] * 10, sort=w.pick(["price", "rating"]))),
                    result(one, [{"name": f"{w.pick(ENGLISH['last'])} {product}", "price": w.number(9, 90)} for _ in range(2)]),
                ]  # fmt: skip
        turns.append({"role": "assistant", "content": answer(w, w.pick(KINDS[:3]), known)})
        return {"messages": turns, "tools": TOOLS}

    return distinct(make, count)


def preferences(seed: int | str, count: int) -> list[Row]:
    """A question, a good answer and a curt one."""
    w = Words(f"preferences {seed}", ENGLISH)
    curt = lines("""
        That is (not our|hardly my) department, {first}. (Read|Check) the terms for {product} orders, section {digit}.
        Did you even look at the (manual|order page)? It says {days} days. Everybody else in {city} manages.
        We get {days} of these every {weekday}. Somebody will (perhaps|eventually) answer.
        (Buy|Order) another {product}, the old one was cheap anyway, and stop writing on a {weekday}.
        It works here in {city}. You probably (dropped|bent) it when you unpacked the {colour} part.
        The computer says {order} is closed. Open a new case after {month}, and use form {digit} next time.
        Calm down. A {product} isn't worth this many words, {first} {last}.
        There might be a rule about that, or there might not; {month} was a long time ago.
    """)

    def make(number: int) -> Row:
        kind, known = w.pick(KINDS), facts(w)
        asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(w, kind, known)}]
        return {
            "input": {"messages": asked},
            "preferred_output": [{"role": "assistant", "content": answer(w, kind, known)}],
            "non_preferred_output": [{"role": "assistant", "content": w.say(w.pick(curt), **known)}],
        }

    return distinct(make, count)


def reinforcement(seed: int | str, count: int) -> list[Row]:
    """A sum in words, ending on the user's turn, and the answer that the grader compares with."""
    w = Words(f"reinforcement {seed}", ENGLISH)
    parts = lines("""
        {first} sells {a} jars of (honey|plum jam|mustard) at {b} euros each.
        A van from {city} carries {a} crates with {b} (bottles|melons|books) in each.
        The (choir|club|workshop) in {city} has {a} members who pay {b} euros a month.
        {first} cycles {a} kilometres on each of {b} days.
        On {weekday} a baker fills {a} trays with {b} (rolls|pretzels) on every one.
        {a} rows of chairs stand in the hall of {city}, {b} in each.
    """)
    then = lines("""
        Then {c} more are added by {other}.
        {other} contributes another {c} on {weekday}.
        To that come {c} from (last {month}|the storeroom|a friend called {other}).
        A late (delivery|gift) brings {c} more.
    """)

    def make(number: int) -> Row:
        a, b, c = w.number(12, 97), w.number(3, 29), w.number(5, 480)
        known = facts(w) | {"a": a, "b": b, "c": c, "other": w.draw("{first} {last}")}
        story = [
            w.pick(parts),
            w.pick(then),
            w.pick(ENGLISH["aside"]),
            "(How many is that|What is the total|How much is it in all)?",
        ]
        row = chat(("system", "Answer with the number alone."), ("user", w.say(" ".join(story), **known)))
        return row | {"reference_answer": str(a * b + c), "difficulty": w.pick(["easy", "medium"])}

    return distinct(make, count)


GRADER = {
    "type": "string_check", "name": "exact", "operation": "eq",
    "input": "{{sample.output_text}}", "reference": "{{item.reference_answer}}",
}  # fmt: skip
