"""Programs in a model's reply: found tolerantly, judged strictly. Nothing of a reply is ever run here."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from fitness.failures import FailureKind
from fitness.program import ENTRY, Program, ProgramError
from operators.llm.client.calls import Message
from operators.llm.client.usage import Usage
from operators.protocol import Failure, Proposal

MAX_CANDIDATES = 8
MAX_SOURCE_CHARACTERS = 20_000
MAX_REPLY_CHARACTERS = 400_000
MAX_NOTE_CHARACTERS = 120
MAX_TRIALS = 32
# A reply that says again so large a share of its lines from the prompt, of which there are at least a few, is an echo.
ECHOED_SHARE, ECHOED_LINES = 0.5, 3
LINE_CHARACTERS = 16

# Why a reply ended where its model was stopped rather than done.
CUT_OFF = {"length", "max_tokens"}
REFUSED = {"refusal", "content_filter"}

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
# Possessive, for a reply may be one line of 400,000 characters that nearly match.
_FENCE = re.compile(r"^(?P<indent>[ \t]*+)(?P<fence>`{3,}+|~{3,}+)[ \t]*+(?P<language>[\w+#.-]*+)[^`\n]*+$")
_PYTHON = {"", "python", "py", "python3", "py3", "python2"}
_DEFINES = re.compile(rf"^[ \t]*(async[ \t]+)?def[ \t]+{ENTRY}\b", re.MULTILINE)
_BEGINS = re.compile(r"^(import |from |def |@)", re.MULTILINE)
# A JSON object that may hold programs, by itself or in a fence.
_JSON = re.compile(r"^(?:`{3,}+json[ \t]*+\n)?[ \t]*+(?=\{\s*+\"programs?\"\s*+:)", re.IGNORECASE | re.MULTILINE)
_REFUSAL = re.compile(
    r"\b(i can(no|')?t|i cannot|i'm sorry|i am sorry|i am unable|i'm unable|as an ai)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class _Block:
    """A stretch of a reply that may be code; `closed` where it is known to have its end."""

    source: str
    closed: bool


def read_reply(
    text: str, finish: str = "stop", usage: Usage | None = None, messages: Sequence[Message] = ()
) -> list[Proposal | Failure]:
    """Finds the programs of a reply: as code, or in JSON as `{"program": ...}` or `{"programs": [...]}`.

    Args:
        text: what the model said.
        finish: why it ended, as in `Reply.finish`.
        usage: its tokens, for the message of one that ended before it said anything.
        messages: what it answers; what says them again is an echo.

    Returns:
        At least one entry, in the reply's order. A proposal's source parses as a program. What looks like a program and
        is not one is a failure of kind `SYNTAX` or `REJECTED` (with its line), `CUT_OFF` or `TOO_LONG`. A reply without
        any is one failure: `EMPTY`, `REFUSAL`, `ECHO`, `CUT_OFF`, `NO_PROGRAM` or `NO_CODE`. A program that the prompt
        shows is an `ECHO` as well.
    """
    words = _THOUGHT.sub("", text[:MAX_REPLY_CHARACTERS].replace("\r\n", "\n")).lstrip()
    blocks = _json(words) or _fenced(words) or _bare(words)
    programs = [block for block in blocks if _DEFINES.search(block.source)]
    if not programs:
        if _repeats(words, messages):
            return [Failure(FailureKind.ECHO, "the reply repeats its prompt")]
        return [_nothing(words, finish, usage, bool(blocks))]
    found: list[Proposal | Failure] = []
    for block in programs:
        if len(found) >= MAX_CANDIDATES:
            break
        unfinished = finish in CUT_OFF and not block.closed and block is blocks[-1]
        found += _judge_block(block.source, unfinished)
    shown = _programs_of(messages)
    return [_unless_shown(each, shown) for each in found[:MAX_CANDIDATES]]


def _programs_of(messages: Sequence[Message]) -> set[str]:
    """Identities of the programs that a conversation shows."""
    sources = [block.source for message in messages for block in _fenced(message["content"])]
    return {each.program.id for each in map(_judge, sources) if isinstance(each, Proposal)}


def _unless_shown(found: Proposal | Failure, shown: set[str]) -> Proposal | Failure:
    if isinstance(found, Proposal) and found.program.id in shown:
        return Failure(FailureKind.ECHO, "the reply repeats a program of its prompt")
    return found


def _repeats(words: str, messages: Sequence[Message]) -> bool:
    """Whether most of what a reply says stands in its prompt."""
    said = _long_lines(words)
    asked = {line for message in messages for line in _long_lines(message["content"])}
    again = sum(line in asked for line in said)
    return again >= ECHOED_LINES and again >= ECHOED_SHARE * len(said)


def _long_lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if len(line.strip()) >= LINE_CHARACTERS]


def _nothing(words: str, finish: str, usage: Usage | None, has_code: bool) -> Failure:
    if finish in REFUSED:
        return Failure(FailureKind.REFUSAL, "the model refused, or its reply was filtered")
    if finish in CUT_OFF:
        return Failure(FailureKind.CUT_OFF, f"{_ended_early(usage)}; allow a larger max_tokens")
    if not has_code and _JSON.match(words):
        return Failure(FailureKind.SYNTAX, "the reply's JSON does not parse, or holds no program")
    if not words.strip():
        return Failure(FailureKind.EMPTY, "the reply is empty")
    if has_code:
        return Failure(FailureKind.NO_PROGRAM, f"the reply's code defines no function `{ENTRY}(text)`")
    if _REFUSAL.search(words[:400]):
        return Failure(FailureKind.REFUSAL, "the model refused")
    return Failure(FailureKind.NO_CODE, "the reply holds no code")


def _ended_early(usage: Usage | None) -> str:
    told = "the reply ended before any program was complete"
    if usage is None:
        return told
    thought = f", {usage.reasoning_tokens} of them thought" if usage.reasoning_tokens else ""
    return f"{told}, after {usage.completion_tokens} tokens{thought}"


def _json(words: str) -> list[_Block]:
    """Programs in a JSON object; none where it does not parse or holds other things."""
    begin = _JSON.search(words)
    if begin is None:
        return []
    try:
        # Line ends within strings are taken as they are, as models write them.
        found, _ = json.JSONDecoder(strict=False).raw_decode(words, begin.end())
    except (ValueError, RecursionError):
        return []
    sources = found["programs"] if isinstance(found.get("programs"), list) else [found.get("program")]
    blocks = []
    for source in sources:
        if isinstance(source, str):
            blocks += _fenced(source) or [_Block(source.replace("\r\n", "\n").strip("\n"), closed=True)]
    return [block for block in blocks if _DEFINES.search(block.source)]


def _fenced(words: str) -> list[_Block]:
    """Blocks between fences whose language is Python or not given; the last one may lack its end."""
    blocks: list[_Block | None] = []
    lines: list[str] = []
    opened: re.Match[str] | None = None
    for line in words.split("\n"):
        fence = _FENCE.match(line)
        if opened is None:
            opened = fence
        elif fence and _closes(fence, opened):
            blocks.append(_block(opened, lines, closed=True))
            opened, lines = None, []
        else:
            lines.append(line)
    if opened is not None:
        blocks.append(_block(opened, lines, closed=False))
    return [block for block in blocks if block is not None]


def _closes(fence: re.Match[str], opened: re.Match[str]) -> bool:
    mark, first = fence["fence"], opened["fence"]
    return mark[0] == first[0] and len(mark) >= len(first) and not fence["language"]


def _block(opened: re.Match[str], lines: list[str], *, closed: bool) -> _Block | None:
    if opened["language"].lower() not in _PYTHON:
        return None
    return _Block(textwrap.dedent("\n".join(lines)), closed)


def _bare(words: str) -> list[_Block]:
    """Code without fences: from the first line that can begin it, as far as it parses."""
    defines = _DEFINES.search(words)
    begins = [match.start() for match in _BEGINS.finditer(words) if defines and match.start() <= defines.start()]
    for begin in begins[:MAX_TRIALS]:
        code = words[begin : begin + MAX_SOURCE_CHARACTERS]
        sound = _sound_beginning(code)
        rest = code[len(sound) :].strip("\n")
        # Prose stands at the margin; what is indented is the rest of a function that does not parse.
        if sound and _DEFINES.search(sound) and not rest[:1].isspace():
            return [_Block(sound, closed=True) if rest else _Block(code, closed=False)]
    # What does not parse from anywhere is still an attempt, and its error is worth knowing.
    return [_Block(words[begins[-1] :], closed=False)] if begins else []


def _sound_beginning(code: str) -> str:
    """The longest beginning of whole lines that parses, as far as the parser's errors lead to it; may be empty."""
    lines = code.split("\n")
    count = len(lines)
    for _ in range(MAX_TRIALS):
        try:
            ast.parse("\n".join(lines[:count]))
        except SyntaxError as error:
            # What stands before the line of the error may be sound; the line itself is not.
            count = min(count, max(1, error.lineno or count)) - 1
        except (ValueError, RecursionError, MemoryError):
            return ""
        else:
            return "\n".join(lines[:count])
    return ""


def _judge_block(source: str, unfinished: bool) -> list[Proposal | Failure]:
    if len(source) > MAX_SOURCE_CHARACTERS:
        message = f"the code has {len(source)} characters, {MAX_SOURCE_CHARACTERS} are the most"
        return [Failure(FailureKind.TOO_LONG, message)]
    if unfinished:
        # The last line may be half a line, even where it parses.
        source = _sound_beginning(source.rpartition("\n")[0])
        if not _DEFINES.search(source):
            return [_cut_off()]
    sources = _separate(source)
    return [_judge(each, unfinished and each is sources[-1]) for each in sources]


def _separate(source: str) -> list[str]:
    """One source for each function `program` of a block, each with all else that the block defines."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [source]
    entries = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    kept = [node for node in body if node not in entries and not _is_trial(node)]
    if len(entries) == 1 and len(kept) + 1 == len(body):
        return [source]
    lines = source.split("\n")
    order = [sorted([*kept, entry], key=lambda node: (node.lineno, node.col_offset)) for entry in entries]
    return ["\n".join(_lines_of(lines, node) for node in nodes) for nodes in order] or [source]


def _is_trial(node: ast.stmt) -> bool:
    """A statement that tries a program out, or has no effect: not part of the program."""
    if isinstance(node, ast.If):
        return "__name__" in ast.dump(node.test)
    if not isinstance(node, ast.Expr):
        return False
    called = {call.func.id for call in ast.walk(node) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    has_call = any(isinstance(child, ast.Call) for child in ast.walk(node))
    return not has_call or bool(called & {"print", ENTRY})


def _lines_of(lines: list[str], node: ast.stmt) -> str:
    decorators = node.decorator_list if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(lines[first - 1 : node.end_lineno])


def _judge(source: str, unfinished: bool = False) -> Proposal | Failure:
    try:
        program = Program.parse(source)
        note = program.docstring
    except ProgramError as error:
        return Failure(error.kind, str(error), error.line)
    except (RecursionError, MemoryError):
        return Failure(FailureKind.SYNTAX, "nested too deeply")
    if unfinished and not _ends_in_return(program.source):
        return _cut_off()
    return Proposal(program, " ".join(note.split())[:MAX_NOTE_CHARACTERS])


def _cut_off() -> Failure:
    return Failure(FailureKind.CUT_OFF, "the reply ended in mid-program; allow a larger max_tokens")


def _ends_in_return(source: str) -> bool:
    entry = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    return isinstance(entry[-1].body[-1], ast.Return)
