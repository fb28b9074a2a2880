"""One HTTP request to an OpenAI-compatible endpoint: what was answered, or how it failed. No retries here."""

from __future__ import annotations

import email.utils
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import openai

from fitness.failures import FailureKind
from operators.llm.client.answer import Answer, read_answer
from operators.llm.client.calls import Message
from operators.llm.client.failures import Unanswered
from operators.llm.client.keys import HIDDEN, api_key, public_url, scrub
from operators.llm.client.settings import DISPENSABLE, ModelEntry, adapted

MAX_BODY_BYTES = 16_000_000
MAX_QUOTED = 300
# A shorter key may be an ordinary word; replacing it in a reply would change programs.
MIN_SECRET = 8

# The endpoint cannot serve this model at all: wrong key, no right to it, no credit, no such model, moved elsewhere.
HOPELESS_STATUS = {301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 410}
OUT_OF_CREDIT = "insufficient_quota"
TRY_AGAIN_STATUS = {408, 409, 425}
# How endpoints say that a model takes a field not at all, or with one value alone; not that a length is too large.
BAD_FIELD_STATUS = {400, 422}
_NOT_TAKEN = re.compile(
    r"unsupported|not (be )?(supported|permitted|allowed)|n[o']t support|only supports|deprecated|unrecogni[sz]ed"
    r"|unknown|may only|only \S+ is (allowed|supported)",
    re.IGNORECASE,
)


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

    def send(self, entry: ModelEntry, messages: Sequence[Message], key: str, refused: Collection[str] = ()) -> Answer:
        """Asks once.

        Args:
            entry: whom to ask.
            messages: what to ask.
            key: key of the call; sent along, so that the endpoint's log can be matched with the stored calls.
            refused: fields that the model would not have.

        Raises:
            Unanswered: where no usable answer came; its message holds no secret.
            UserError: where the key is missing.
        """
        secret = api_key(entry)
        try:
            body = self._body(entry, messages, key, secret, adapted(entry, refused))
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
        return replace(answer, text=answer.text.replace(secret, HIDDEN))

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

    def _body(
        self, entry: ModelEntry, messages: Sequence[Message], key: str, secret: str, fields: Mapping[str, Any]
    ) -> bytes:
        deadline = time.monotonic() + entry.timeout
        chat = self._client(entry, secret).chat.completions.with_streaming_response
        answered = False
        try:
            with chat.create(
                model=entry.model,
                messages=[],
                # Merged into the body as they are; as an argument, messages are compared with every kind of message
                # that there is, which takes longer than all else that is done for a request.
                extra_body={"messages": list(messages), **fields},
                extra_headers={"X-Client-Request-Id": key},
                timeout=entry.timeout,
            ) as response:
                answered = True
                return _read(response.iter_bytes(), lambda: time.monotonic() > deadline)
        except openai.APIStatusError as error:
            raise _status_failure(entry, error, fields) from None
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


def _status_failure(entry: ModelEntry, error: openai.APIStatusError, sent: Mapping[str, Any]) -> Unanswered:
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
    refused = _refused_field(str(error.message), sent) if status in BAD_FIELD_STATUS else None
    return Unanswered(FailureKind.BAD_REQUEST, message, transient=False, refused=refused)


def _refused_field(said: str, sent: Mapping[str, Any]) -> str | None:
    """The field that an endpoint's complaint is about, where the request can go without it or say it otherwise."""
    if not _NOT_TAKEN.search(said):
        return None
    return next((field for field in DISPENSABLE if field in sent and re.search(rf"\b{field}\b", said)), None)


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
