"""The words of the pretraining messages: how values are asked for, said, and passed over."""

from __future__ import annotations


def _table(text: str) -> dict[str, list[str]]:
    """One entry a line, `key: one | two | three`; a line that begins with a blank goes on with the entry before."""
    table = {}
    for line in text.replace("\n    |", " |").strip().splitlines():
        key, _, entries = line.partition(":")
        table[key] = [entry.strip().replace("\\n", "\n") for entry in entries.split(" | ") if entry.strip()]
    return table


# What a field may be called, in an order or as a key.
PHRASES = _table("""
person: customer | name | client | sender | contact | full name | person | buyer | author | guest
city: city | town | place | destination | location | origin
company: company | firm | employer | organisation | supplier | vendor
street: street | address | street address | delivery address
item: item | product | article | thing | goods | object | product name
code: order | order number | reference | code | id | case number | invoice number | ref
quantity: quantity | count | number of items | amount ordered | pieces | units | qty
amount: price | amount | total | cost | sum | fee
date: date | day | deadline | delivery date | ship by | wanted by
time: time | hour | start time
email: email | mail | email address
phone: phone | telephone | phone number
foreign: label | title | mark | sign
urgency: urgency | priority | rush | speed
topic: topic | category | reason | department | kind
""")
# One value in a sentence.
SENTENCES = _table("""
person: My name is {}. | This is {}. | I am {}. | {} here. | I'm writing for {}. | Please ask for {}.
    | Regards, {} | Thanks, {} | Yours, {} | It was booked by {}. | {} wrote to us. | Contact: {}. | From {}.
    | Best wishes\\n{}
city: I live in {}. | It goes to {}. | We are based in {}. | Please ship to {}. | The office in {} called.
    | I moved to {}. | Meet me in {}.
company: I work for {}. | We are {}. | {} sent it. | It is for {}. | The bill is from {}. | On behalf of {}.
street: My address is {}. | Bring it to {}. | We moved to {}. | The shop is at {}. | Deliver to {}.
item: I bought a {}. | It is about the {}. | The {} is broken. | Where is my {}? | I would like the {}.
    | Please send the {}. | I want to return the {}. | The {} does not work. | You sent me the wrong {}.
    | We need a {}. | Do you still have the {}? | I love the {}.
code: My order is {}. | The number is {}. | Reference {}. | See {}. | It is order {}. | Case {} is still open.
    | I quote {}. | The code reads {}. | (ref {})
quantity: I need {} of them. | There are {} pieces. | Please send {}. | We ordered {}. | Make it {} units.
    | {} were missing. | I counted {}. | That is {} in all.
amount: I paid {}. | It cost {}. | The total was {}. | You charged me {}. | My budget is {}. | The bill says {}.
date: I need it by {}. | It was sent on {}. | Please reply before {}. | We ordered on {}. | The date is {}.
    | It must be here by {}. | Come on {}. | It is due {}.
time: Call me at {}. | We meet at {}. | It starts at {}. | The train leaves at {}.
email: Write to {}. | My mail is {}. | Reach me at {}. | Send it to {}.
phone: Call {}. | My number is {}. | Phone: {}. | Ring me on {}.
foreign: The box says {}. | It is marked {}. | The title is {}. | On the label: {}.
""")
# Two values in one sentence: which is which has to be read from the words around them.
PAIRS: list[tuple[str, str, str]] = [
    ("quantity", "item", "Please send {} of the {}."),
    ("quantity", "item", "I ordered {} x {}."),
    ("quantity", "item", "We need {} {}s."),
    ("item", "quantity", "About the {}: we got {} of them."),
    ("item", "code", "The {} from order {} is late."),
    ("code", "item", "Order {}, the {}, came broken."),
    ("person", "city", "{} from {} asked."),
    ("person", "company", "This is {} of {}."),
    ("item", "amount", "The {} cost {}."),
    ("city", "date", "I leave for {} on {}."),
    ("person", "code", "I am {} and my order is {}."),
    ("item", "date", "Can I have the {} by {}?"),
    ("amount", "date", "I paid {} on {}."),
    ("person", "email", "I'm {} ({})."),
    ("time", "city", "At {} we reach {}."),
]
# What gives away a label that no value spells out.
URGENCY = _table("""
urgent: It is urgent. | Please hurry. | I need it right now. | As soon as possible, please. | This can't wait.
    | Immediately, please. | ASAP!
relaxed: There is no hurry. | Take your time. | Whenever it suits you. | No rush. | It can wait.
    | Any time is fine.
normal:
""")
TOPIC = _table("""
refund: I want my money back. | Please refund me. | I'd like to send it back. | I am returning it.
broken: It is broken. | It stopped working. | It has a crack. | It won't turn on.
billing: The bill is wrong. | I was charged twice. | Please send an invoice. | My card was charged too much.
delivery: It has not arrived. | Where is my parcel? | The delivery is late. | When will it come?
praise: I am very happy. | Great service. | It is lovely. | Well done.
question: How does it work? | Do you have it in another size? | Is it waterproof? | What does it weigh?
""")
LABELS = (
    "high low normal yes no maybe A B C 1 2 3 red green blue hot cold fast slow money repair post thanks ask "
    "sales other accounts shipping "
).split()
OPENINGS = ["", "", "Hello, ", "Hi. ", "Dear team, ", "Good morning. ", "Hey, ", "Hello there. "]
_FILLERS = _table("""
any: Thank you. | I hope you are well. | It was a gift. | The weather is bad here. | I called twice.
    | Let me know. | My neighbour likes it too. | We are closed on Sunday. | I looked everywhere.
    | Sorry for the trouble. | I have shopped here for years.
""")
FILLERS = _FILLERS["any"]
