"""One HTTP request to an OpenAI-compatible endpoint: what was answered, or how it failed. No retries here."""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import openai

from fitness.failures import FailureKind
from operators.llm.client.calls import Message
from operators.llm.client.keys import HIDDEN, api_key, public_url, scrub
from operators.llm.client.settings import ModelEntry, sampling

MAX_BODY_BYTES = 16_000_000
MAX_QUOTED = 300
# A shorter key may be an ordinary word; replacing it in a reply would change programs.
MIN_SECRET = 8

# The endpoint cannot serve this model at all: wrong key, no right to it, no credit, no such model, moved elsewhere.
HOPELESS_STATUS = {301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 410}
OUT_OF_CREDIT = "insufficient_quota"
TRY_AGAIN_STATUS = {408, 409, 425}


class Unanswered(Exception):  # noqa: N818 - an outcome of a request
    """A request came to nothing.

    Attributes:
        kind: as in `CallFailed`.
        transient: trying again may help.
        hopeless: no request to this model will be answered.
        reached: the endpoint may have seen the request.
        billed: the endpoint may have worked on it, and charge for it.
        retry_after: seconds that the endpoint asked to wait, or None.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        transient: bool = True,
        hopeless: bool = False,
        reached: bool = True,
        billed: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.transient = transient
        self.hopeless = hopeless
        self.reached = reached
        self.billed = billed
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered.

    Attributes:
        text: the model's words, or its refusal.
        finish: why it ended.
        prompt_tokens: tokens of the prompt.
        completion_tokens: tokens of the reply.
        estimated: the endpoint did not count tokens; they are the most that there can be.
    """

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    estimated: bool


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """An upper bound: no token is shorter than a byte, and chat templates add a few a message."""
    return 64 + sum(16 + len(message["content"].encode()) for message in messages)


class Requests:
    """Sends single requests; keeps one connection pool, safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._http: Any = None
        self._clients: dict[tuple[str | None, str], openai.OpenAI] = {}

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            if self._http is not None:
                self._http.close()
            self._http = None
            self._clients.clear()

    def send(self, entry: ModelEntry, messages: Sequence[Message], key: str) -> Answer:
        """Asks once.

        Args:
            entry: whom to ask.
            messages: what to ask.
            key: key of the call; sent along, so that the endpoint's log can be matched with the stored calls.

        Raises:
            Unanswered: where no usable answer came; its message holds no secret.
            UserError: where the key is missing.
        """
        secret = api_key(entry)
        try:
            body = self._body(entry, messages, key, secret)
        except Unanswered as failure:
            raise _scrubbed(failure, secret) from None
        except Exception as error:
            # Such as an address that is none. The cause stays behind: it may hold the request with its headers.
            message = scrub(f"{type(error).__name__}: {error}", secret)[:MAX_QUOTED]
            raise Unanswered(
                FailureKind.BAD_REQUEST,
                f"{public_url(entry)}: {message}",
                transient=False,
                hopeless=True,
                reached=False,
            ) from None
        answer = read_answer(body, messages)
        if len(secret) < MIN_SECRET:
            return answer
        hidden = answer.text.replace(secret, HIDDEN)
        return Answer(hidden, answer.finish, answer.prompt_tokens, answer.completion_tokens, answer.estimated)

    def _client(self, entry: ModelEntry, secret: str) -> openai.OpenAI:
        with self._lock:
            if self._http is None:
                # A redirect would be a second request, unseen by the budget.
                self._http = openai.DefaultHttpxClient(follow_redirects=False)
            found = self._clients.get((entry.base_url, secret))
            if found is None:
                found = openai.OpenAI(api_key=secret, base_url=entry.base_url, max_retries=0, http_client=self._http)
                if entry.base_url is not None:
                    # The environment's organisation is meant for the default endpoint alone.
                    found.organization = found.project = None
                self._clients[entry.base_url, secret] = found
            return found

    def _body(self, entry: ModelEntry, messages: Sequence[Message], key: str, secret: str) -> bytes:
        deadline = time.monotonic() + entry.timeout
        chat = self._client(entry, secret).chat.completions.with_streaming_response
        answered = False
        try:
            with chat.create(
                model=entry.model,
                messages=[],
                # Merged into the body as they are; as an argument, messages are compared with every kind of message
                # that there is, which takes longer than all else that is done for a request.
                extra_body={"messages": list(messages), **sampling(entry)},
                extra_headers={"X-Client-Request-Id": key},
                timeout=entry.timeout,
            ) as response:
                answered = True
                return _read(response.iter_bytes(), lambda: time.monotonic() > deadline)
        except openai.APIStatusError as error:
            raise _status_failure(entry, error) from None
        except openai.APITimeoutError as error:
            raise _timeout(entry, reached=_cause(error) not in NOT_CONNECTED) from None
        except openai.APIConnectionError as error:
            raise _connection_failure(entry, error, _cause(error)) from None
        except Exception as error:
            # While the body is read, the HTTP library's own errors come through, whichever library it is.
            names = {base.__name__ for base in type(error).__mro__}
            if "TimeoutException" in names:
                raise _timeout(entry, reached=True) from None
            if answered and "HTTPError" in names:
                raise _connection_failure(entry, error, type(error).__name__) from None
            raise


NOT_CONNECTED = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"}


def _cause(error: BaseException) -> str:
    return type(error.__cause__).__name__


def _read(chunks: Any, late: Callable[[], bool]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Unanswered(FailureKind.BAD_REPLY, f"the reply is longer than {MAX_BODY_BYTES} bytes", billed=True)
        if late():
            raise Unanswered(FailureKind.CALL_TIMEOUT, "the reply came too slowly", billed=True)
    return bytes(body)


def _timeout(entry: ModelEntry, *, reached: bool) -> Unanswered:
    message = f"{public_url(entry)} did not answer within {entry.timeout:g} s"
    return Unanswered(FailureKind.CALL_TIMEOUT, message, reached=reached, billed=reached)


def _connection_failure(entry: ModelEntry, error: Exception, cause: str) -> Unanswered:
    if cause == "UnsupportedProtocol":
        message = f"llm.models: base_url of {entry.model} must begin with http:// or https://"
        return Unanswered(FailureKind.BAD_REQUEST, message, transient=False, hopeless=True, reached=False)
    reached = cause not in NOT_CONNECTED
    told = str(error.__cause__ or error)[:MAX_QUOTED]
    what = "broke off the connection" if reached else "could not be reached"
    return Unanswered(FailureKind.CONNECTION, f"{public_url(entry)} {what}: {told}", reached=reached, billed=reached)


def _status_failure(entry: ModelEntry, error: openai.APIStatusError) -> Unanswered:
    status, where = error.status_code, public_url(entry)
    if status in (401, 403):
        # What the endpoint says here may quote parts of the key.
        named = f"the key in {entry.api_key_env}" if entry.api_key_env else "a request without a key"
        message = f"{where} refused {named} for {entry.model} (status {status})"
        return Unanswered(FailureKind.REFUSED_KEY, message, transient=False, hopeless=True)
    told = " ".join(str(error.message).split())[:MAX_QUOTED]
    message = f"{where} answered {entry.model} with status {status}: {told}"
    if status in HOPELESS_STATUS or OUT_OF_CREDIT in (error.code, error.type):
        return Unanswered(FailureKind.BAD_REQUEST, message, transient=False, hopeless=True)
    retry_after = _retry_after(error.response.headers.get("retry-after"))
    if status == 429:
        return Unanswered(FailureKind.RATE_LIMIT, message, retry_after=retry_after)
    if status >= 500 or status in TRY_AGAIN_STATUS:
        return Unanswered(FailureKind.SERVER_ERROR, message, retry_after=retry_after)
    return Unanswered(FailureKind.BAD_REQUEST, message, transient=False)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = email.utils.parsedate_tz(value)
        if date is None:
            return None
        seconds = email.utils.mktime_tz(date) - time.time()
    return max(0.0, seconds) if seconds < float("inf") else None


def _scrubbed(failure: Unanswered, secret: str) -> Unanswered:
    failure.args = (scrub(str(failure), secret),)
    failure.__cause__ = failure.__context__ = None
    return failure


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
        finish = str(choice.get("finish_reason") or "stop")
        usage = data.get("usage") or {}
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        begin = body[:80].decode("utf-8", "replace")
        raise Unanswered(
            FailureKind.BAD_REPLY, f"the reply is not a chat completion, it begins with {begin!r}", billed=True
        ) from None
    if refusal and not text:
        text, finish = refusal, "refusal"
    prompt, completion = counts
    if isinstance(prompt, int) and isinstance(completion, int) and prompt >= 0 and completion >= 0:
        return Answer(text, finish, prompt, completion, False)
    return Answer(text, finish, most_prompt_tokens(messages), len(text.encode()), True)


def _text(content: Any) -> str:
    """Words of a message, which some endpoints send in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    # Half of a surrogate pair could be neither stored nor sent back.
    return str(content or "").encode("utf-8", "replace").decode()
