"""What an endpoint answered: a chat completion, read tolerantly, its tokens counted by kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitness.failures import FailureKind
from operators.llm.client.calls import Message
from operators.llm.client.failures import Unanswered
from operators.llm.client.usage import Usage


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered.

    Attributes:
        text: the model's words, or its refusal; what it thought aside is not kept.
        finish: why it ended.
        usage: tokens by kind.
        estimated: the endpoint did not count tokens; they are the most that there can be.
    """

    text: str
    finish: str
    usage: Usage
    estimated: bool


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """An upper bound: no token is shorter than a byte, and chat templates add a few a message."""
    return 64 + sum(16 + len(message["content"].encode()) for message in messages)


def read_answer(body: bytes, messages: Sequence[Message]) -> Answer:
    """Reads the body of a chat completion, tolerant of what endpoints leave out.

    Raises:
        Unanswered: "bad reply" where it is not a chat completion.
    """
    try:
        data = json.loads(body)
        choices = data["choices"]
        choice = choices[0] if choices else {}
        message = choice.get("message") or {}
        text = _text(message.get("content"))
        refusal = _text(message.get("refusal"))
        thought = _text(message.get("reasoning_content") or message.get("reasoning"))
        finish = str(choice.get("finish_reason") or "stop")
        usage = _usage(data.get("usage") or {}, text, thought)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        begin = body[:80].decode("utf-8", "replace")
        raise Unanswered(
            FailureKind.BAD_REPLY, f"the reply is not a chat completion, it begins with {begin!r}", billed=True
        ) from None
    if refusal and not text:
        text, finish = refusal, "refusal"
    if usage is not None:
        return Answer(text, finish, usage, False)
    thinking = len(thought.encode())
    most = Usage(most_prompt_tokens(messages), thinking + len(text.encode()), thinking)
    return Answer(text, finish, most, True)


def _usage(counted: Mapping[str, Any], text: str, thought: str) -> Usage | None:
    """Tokens by kind, None where the endpoint did not count them.

    Some endpoints count thought among the completion's tokens and say how much it was; some show the thought and say
    only how long all was, so that its share is that of its characters; some count it in the total alone.
    """
    prompt, completion = _count(counted.get("prompt_tokens")), _count(counted.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    details = counted.get("completion_tokens_details") or {}
    reasoning = _count(details.get("reasoning_tokens"))
    beside = max(0, (_count(counted.get("total_tokens")) or 0) - prompt - completion)
    if beside:
        completion, reasoning = completion + beside, max(beside, reasoning or 0)
    elif reasoning is None:
        reasoning = round(completion * len(thought) / max(1, len(thought) + len(text)))
    cached = _count((counted.get("prompt_tokens_details") or {}).get("cached_tokens"))
    if cached is None:
        cached = _count(counted.get("prompt_cache_hit_tokens")) or 0
    return Usage(prompt, completion, min(reasoning, completion), min(cached, prompt))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _text(content: Any) -> str:
    """Words of a message, which some endpoints send in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    # Half of a surrogate pair could be neither stored nor sent back.
    return str(content or "").encode("utf-8", "replace").decode()
