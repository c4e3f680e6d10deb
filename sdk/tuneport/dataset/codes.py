"""Every code that a check may raise, with its severity, the rule and what to do: the one list that checks, docs and
`tuneport validate --explain CODE` share. A code is stable: scripts filter on it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "info"]


class Code(NamedTuple):
    """One kind of problem. `repairable`: a program can mend it without knowing what was meant."""

    severity: Severity
    title: str
    why: str
    fix: str
    repairable: bool = False


_E: Severity = "error"
_W: Severity = "warning"
_I: Severity = "info"

CODES: dict[str, Code] = {
    # The file
    "file.missing": Code(_E, "there is no such file", "Nothing can be read.", "Check the path."),
    "file.directory": Code(
        _E, "a directory, not a file", "A dataset is a file or several.", "Name the files: 'folder/*.jsonl'."
    ),
    "file.unreadable": Code(
        _E, "cannot be read", "The system refuses to open or read it.", "Check permissions and the path."
    ),
    "file.unknown-format": Code(
        _E, "not a format that is read", "The ending says which format a file has.", "Save the rows as JSONL."
    ),
    "file.empty": Code(_E, "no rows", "There is nothing to learn from.", "Write at least 50 rows."),
    "file.damaged": Code(
        _E,
        "the compressed or columnar file is damaged",
        "What follows the damage cannot be read.",
        "Make the file again.",
    ),
    "file.expands-too-much": Code(
        _E,
        "expands to far more than it is",
        "A small file that unpacks without end fills memory or disk.",
        "Unpack it by hand.",
    ),
    "file.not-utf8": Code(_E, "not UTF-8", "Every provider reads UTF-8 only.", "Save the file as UTF-8."),
    "file.bom": Code(
        _W,
        "begins with a byte order mark",
        "Some providers take it for a part of the first row.",
        "Save without BOM.",
        True,
    ),
    "file.nul": Code(_E, "a NUL character", "Tokenizers and databases cut text there.", "Remove the character.", True),
    "file.not-json": Code(
        _E, "the line is not JSON", "A line of JSONL is one JSON object.", "Correct or remove the line."
    ),
    "file.not-an-object": Code(_E, "the row is not an object", "A row is a JSON object.", 'Write {"messages": […]}.'),
    "file.duplicate-keys": Code(
        _E,
        "a key stands twice in one object",
        "Readers keep one of the two, and not all the same one.",
        "Keep one.",
        True,
    ),
    "file.not-a-number": Code(
        _E,
        "NaN or Infinity",
        "It is not JSON, though Python writes it; providers refuse the file.",
        "Use null or a number.",
        True,
    ),
    "file.lone-surrogate": Code(
        _E, "half of a surrogate pair", "It is no character, and UTF-8 cannot carry it.", "Remove or complete it.", True
    ),
    "file.blank-line": Code(_W, "a blank line", "Strict readers refuse it.", "Remove the line.", True),
    "file.row-too-large": Code(
        _E, "a row of more than 16 MB", "No provider takes it, and it is mostly a missing line break.", "Split the row."
    ),
    "file.too-deep": Code(
        _E, "nested too deeply", "No reader takes more than some hundreds of levels.", "Flatten the row."
    ),
    "file.unknown-dialect": Code(
        _E, "keys of no known dialect", "What is question and what is answer cannot be told.", "Rename keys."
    ),
    "file.mixed-dialects": Code(
        _E, "rows of several dialects", "Providers read one.", "Convert the file: tuneport convert."
    ),
    "file.columns": Code(
        _E,
        "not as many cells as the header names",
        "Values would land under the wrong name.",
        "Quote cells that hold the separator.",
    ),
    "file.few-rows": Code(
        _W,
        "few rows",
        "50 to 100 rows are the least that help, 500 to 1,000 are good, 1,000 to 10,000 and more for production.",
        "Collect more rows, or use few-shot prompting.",
    ),
    "file.too-few-rows": Code(_E, "fewer rows than the target takes", "The provider refuses the file.", "Add rows."),
    "file.too-many-rows": Code(
        _E, "more rows than the target takes", "The provider refuses the file.", "Take a sample."
    ),
    "file.too-large": Code(
        _E, "larger than the target takes", "The provider refuses the upload.", "Take a sample, or shorten rows."
    ),
    # Structure
    "structure.no-messages": Code(_E, "no list of turns", "A chat row is a list of turns.", 'Write {"messages": […]}.'),
    "structure.turn": Code(
        _E, "a turn that is not an object", "A turn has a role and content.", "Write role and content."
    ),
    "structure.role": Code(
        _E, "an unknown role", "A role is system, developer, user, assistant or tool.", "Correct it.", True
    ),
    "structure.system-first": Code(
        _W, "a system turn after the first turn", "Most templates refuse it or drop it.", "Put it first.", True
    ),
    "structure.role-order": Code(
        _W,
        "turns out of order",
        "After a system turn, user and assistant alternate, and the user begins.",
        "Merge or reorder.",
    ),
    "structure.unfinished": Code(
        _W,
        "the last turn is not the assistant's",
        "What follows the last answer is never trained on.",
        "End on an answer.",
        True,
    ),
    "structure.empty-turn": Code(_E, "the assistant's answer is blank", "It would teach silence.", "Write the answer."),
    "structure.blank-turn": Code(
        _W, "a blank turn", "An empty question or system turn teaches nothing.", "Write or remove it."
    ),
    "structure.no-assistant": Code(_E, "no assistant turn", "There is no answer to learn from.", "Add one."),
    "structure.nothing-trainable": Code(
        _E, "every assistant turn has weight 0", "Nothing of the row would be trained.", "Give one turn weight 1."
    ),
    "structure.weight": Code(
        _E, "a weight other than 0 or 1", "A turn is trained on or it is not.", "Use 0, 1 or nothing."
    ),
    "structure.unknown-key": Code(
        _W, "an unknown key", "It is ignored here and refused by strict providers.", "Remove it.", True
    ),
    "structure.content": Code(
        _E, "content that is not text", "Content is a string or a list of parts.", "Write a string."
    ),
    "structure.part": Code(
        _E, "a content part without a known type", "A part is text or an image_url.", "Give it a type."
    ),
    "structure.tools": Code(
        _E, "tools is not a list of tools", "Each is a function with a name and parameters.", "Correct it."
    ),
    "structure.tool-calls": Code(
        _E, "tool_calls is not a list of calls", "Each has an id and a function.", "Correct it."
    ),
    "structure.type": Code(_E, "a value of the wrong type", "The dialect says which type each key has.", "Correct it."),
    "structure.preference": Code(
        _E, "a preference row lacks a part", "It has a prompt and two answers.", "Add what is missing."
    ),
    "structure.same-answers": Code(
        _E, "preferred and rejected are equal", "The pair teaches nothing.", "Remove the pair."
    ),
    "structure.prompts-differ": Code(
        _E,
        "the two answers belong to different prompts",
        "A preference compares answers to one prompt.",
        "Use one prompt.",
    ),
    "structure.no-reference": Code(
        _E, "the grader reads a field that the row lacks", "Without it every answer is graded alike.", "Add the field."
    ),
    "structure.last-not-user": Code(
        _E,
        "a reinforcement row does not end on a user turn",
        "The model's own answer is what is graded.",
        "Remove the answer.",
        True,
    ),
    "structure.no-text": Code(_E, "no text", "Continued pre-training learns from text.", 'Write {"text": "…"}.'),
    # Tools
    "tools.function": Code(_E, "a call without function name or arguments", "A call names its function.", "Add them."),
    "tools.arguments": Code(
        _E, "arguments that are not a JSON object", "The model would learn broken JSON.", "Correct them."
    ),
    "tools.arguments-schema": Code(
        _E,
        "arguments that break the tool's schema",
        "The model would learn calls that fail.",
        "Correct them or the schema.",
    ),
    "tools.undeclared": Code(
        _E, "a call to a tool that is not declared", "At run time there is no such tool.", "Declare it."
    ),
    "tools.schema": Code(
        _E, "a tool whose schema is not valid", "Nothing can be checked or called by it.", "Correct the schema."
    ),
    "tools.name": Code(_E, "a tool's name that providers refuse", "1 to 64 letters, digits, _ and -.", "Rename it."),
    "tools.duplicate": Code(_W, "a tool declared twice", "Which of the two is meant is unclear.", "Keep one.", True),
    "tools.call-id": Code(
        _E, "a call id that is missing or used twice", "A result is matched by it.", "Give unique ids."
    ),
    "tools.unanswered": Code(
        _W, "a call without a result", "The next turn answers something it has not seen.", "Add the result."
    ),
    "tools.result-without-call": Code(
        _E, "a result that no call asked for", "Providers refuse it.", "Correct tool_call_id."
    ),
    "tools.parallel": Code(
        _W,
        "several calls in one turn, though parallel_tool_calls is false",
        "The row says two things.",
        "Correct one of the two.",
    ),
    # What the target takes
    "target.objective": Code(
        _E, "rows of another objective", "The objective decides what a row holds.", "Choose the objective of the rows."
    ),
    "target.cannot-say": Code(
        _E, "the target's dialect cannot say it", "It would be lost.", "Remove it, or choose another target."
    ),
    "target.alternation": Code(
        _E, "user and assistant do not alternate", "This model family refuses it.", "Merge turns of one role.", True
    ),
    "target.forbidden-string": Code(
        _E,
        "a string that this model family refuses",
        "It is a marker of the model's own prompt format.",
        "Reword it.",
        True,
    ),
    "target.role": Code(
        _E, "a role that the target does not know", "The provider refuses the row.", "Use another role.", True
    ),
    "target.image": Code(_E, "an image where the target takes none", "The provider refuses the row.", "Remove it."),
    "target.too-many-images": Code(
        _E, "more images than the target takes", "The provider refuses the row.", "Remove some."
    ),
    "target.ends": Code(
        _E, "the row does not end as the target wants", "The provider refuses the row.", "End on an answer.", True
    ),
    "target.unknown-key": Code(
        _E, "a key that the target refuses", "The provider refuses the row.", "Remove it.", True
    ),
    "target.tools": Code(
        _E,
        "tools where the target takes none",
        "The provider refuses the row.",
        "Remove them, or choose another target.",
    ),
    "target.name": Code(
        _E, "a name that the target refuses", "The provider refuses the row.", "Rename it, or leave it out."
    ),
    "target.blank": Code(
        _E, "a blank text that the target refuses", "The provider refuses the row.", "Write or remove it."
    ),
    "target.template": Code(
        _E,
        "the model's chat template cannot render the row",
        "What is not rendered is not trained.",
        "Change the row or the template.",
    ),
    "target.template-note": Code(
        _W, "the template is completed by tuneport", "Serve with the template that is saved.", ""
    ),
    # Tokens
    "tokens.too-long": Code(
        _W, "longer than the target's limit", "What is beyond is cut.", "Shorten the row or raise the limit."
    ),
    "tokens.answer-cut": Code(
        _E, "the answer would be cut off", "The model would learn to stop in the middle.", "Shorten the row."
    ),
    "tokens.outlier": Code(
        _W, "a row with a large share of the bill", "A few rows cost as much as many.", "See whether it is meant."
    ),
    # Quality
    "quality.duplicate": Code(
        _W, "the same row again", "It weighs twice and can leak between splits.", "Keep one.", True
    ),
    "quality.near-duplicate": Code(_W, "almost the same row again", "It weighs more than it should.", "Keep one."),
    "quality.contradiction": Code(
        _W, "two answers to one prompt", "The model cannot learn both.", "Decide which is right."
    ),
    "quality.copied-prompt": Code(
        _W, "the answer is the prompt", "The model would learn to repeat.", "Write the answer."
    ),
    "quality.refusal": Code(
        _W, "the answer refuses", "The model would learn to refuse.", "Remove it unless it is meant."
    ),
    "quality.boilerplate": Code(
        _W, "boilerplate in the answer", "Phrases of another assistant are learnt too.", "Remove them."
    ),
    "quality.control-token": Code(
        _W, "a control token inside content", "Written as text it can end a turn or open another.", "Remove it.", True
    ),
    "quality.mojibake": Code(
        _W, "text decoded with the wrong encoding", "The model would learn to write it.", "Repair it.", True
    ),
    "quality.language-mix": Code(
        _W, "the answer's language is not the prompt's", "The model would switch.", "Check it."
    ),
    "quality.label-imbalance": Code(
        _W, "one label dominates", "Always answering it scores well.", "Balance the labels."
    ),
    "quality.low-diversity": Code(
        _W, "prompts or answers are much alike", "The model learns one pattern.", "Vary them."
    ),
    "quality.inconsistent-format": Code(
        _W, "the answer's format is not that of most", "A format is learnt only if it is always so.", "Use one format."
    ),
    "quality.short-answer": Code(_W, "a very short answer among long ones", "It is often cut off.", "Check it."),
    "quality.long-answer": Code(_I, "a very long answer among short ones", "It is often two answers.", "Check it."),
    "quality.repetition": Code(_W, "the answer repeats itself", "Loops are learnt quickly.", "Cut it."),
    "quality.placeholder": Code(_W, "a placeholder was left", "The model would write it.", "Fill it in."),
    "quality.cut-off": Code(
        _W, "the answer ends in the middle", "The model would learn to stop there.", "Complete it."
    ),
    # Privacy
    "privacy.secret": Code(
        _E, "a key, token or password", "Whoever has the model can get it out.", "Remove and revoke it.", True
    ),
    "privacy.card": Code(_E, "a payment card number", "It must not leave the house.", "Remove it.", True),
    "privacy.identity-number": Code(
        _E, "a personal identity number", "It must not leave the house.", "Remove it.", True
    ),
    "privacy.bank-account": Code(_E, "a bank account number", "It must not leave the house.", "Remove it.", True),
    "privacy.email": Code(
        _W, "an e-mail address", "Personal data; ordinary in support mail.", "Redact it if not needed.", True
    ),
    "privacy.phone": Code(
        _W, "a telephone number", "Personal data; ordinary in support mail.", "Redact it if not needed.", True
    ),
    "privacy.ip-address": Code(_I, "an IP address", "Personal data in some laws.", "Redact it if not needed.", True),
    # Splits
    "split.leak": Code(
        _E, "a held-out row is also a training row", "Its score says nothing.", "Remove it from one.", True
    ),
    "split.near-leak": Code(
        _W, "a held-out row is almost a training row", "Its score flatters.", "Remove it from one."
    ),
    "split.group-leak": Code(
        _E, "a group stands in two splits", "Rows of a group are alike: scores flatter.", "Split by the group."
    ),
    "split.no-training": Code(
        _E, "no row is left to train on", "The held-out splits took all.", "Lower their fractions."
    ),
    "split.small-test": Code(
        _W, "a small held-out split", "Differences on few rows are mostly chance.", "Hold out more."
    ),
}


def markdown() -> str:
    """Every code as a page, for the docs."""
    lines = [
        "# Data checks",
        "",
        "Made by `python -m tuneport.support checks`; a test keeps it true. `tuneport validate --explain CODE` tells the same.",
        "An error stops the row or the job, a warning is worth a look. `--fix OUT` mends what is marked *mended*.",
        "",
        "| code | severity | what | why it matters | what to do | |",
        "|---|---|---|---|---|---|",
    ]
    for code, known in CODES.items():
        mended = "mended" if known.repairable else ""
        lines.append(f"| `{code}` | {known.severity} | {known.title} | {known.why} | {known.fix} | {mended} |")
    return "\n".join(lines) + "\n"
