"""A scripted OpenAI-compatible server on loopback, with faults on demand; counts and logs every request.

In a test: `with FakeLlmServer() as server: server.script(Say("..."), Status(429, retry_after=2))`.
By itself: `python fake_llm_server.py --port 0 --log requests.jsonl --seconds 1 --bank replies.json --every 7:500`;
it prints its base URL as its first line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

GOOD = '''Here is an idea.

```python
def program(text):
    """Looks at the previous token, else rests on the first."""
    return {weight} * (text.distance == 1) + {rest} * text.is_first
```
'''
WRONG = "```python\ndef program(text):\n    return text.nothing_of_the_kind\n```"
BAD_SHAPE = "```python\ndef program(text):\n    return text.is_first\n```"
NO_CODE = "The head seems to look at the previous token."
REFUSAL = "I'm sorry, but I can't help with that."
HOSTILE = """```python
import os
def program(text):
    os.system("touch /tmp/headscribe-was-here")
    return text.same
```"""
ENDLESS = "```python\ndef program(text):\n    while True:\n        pass\n```"
CUT_OFF = "```python\ndef program(text):\n    weights = 0.7 * (text.distance == 1)\n    weights = weights + 0.3 * (te"


@dataclass(frozen=True)
class Say:
    """A reply; `finish` as the endpoint reports it, `usage` left out where false, `refusal` beside no content.

    `thought` is reasoning that is shown, `thought_tokens` what is counted of it: among the completion's tokens, or
    where `beside` in the total alone. `cached` tokens of the prompt are said to be at hand.
    """

    text: str | None
    finish: str | None = "stop"
    usage: bool = True
    refusal: str | None = None
    parts: bool = False
    thought: str | None = None
    thought_tokens: int | None = None
    beside: bool = False
    cached: int | None = None


@dataclass(frozen=True)
class Status:
    """An HTTP error."""

    code: int
    retry_after: float | str | None = None
    message: str = "scripted"
    error_code: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Raw:
    """A body as it is, with status 200."""

    body: bytes


@dataclass(frozen=True)
class EmptyChoices:
    """A completion without any choice."""


@dataclass(frozen=True)
class Echo:
    """The last message, said again."""


@dataclass(frozen=True)
class Hang:
    """Nothing is answered until the server is closed."""


@dataclass(frozen=True)
class BreakOff:
    """The connection is closed in mid-body."""


@dataclass(frozen=True)
class EchoKey:
    """An error message that quotes the Authorization header."""

    code: int = 400


Answer = Say | Status | Raw | EmptyChoices | Echo | Hang | BreakOff | EchoKey
CUT = Say(CUT_OFF, finish="length")
# A model that spent all its tokens on thought.
LOST_IN_THOUGHT = Say("", finish="length", thought_tokens=1400)
# What a service says of fields that its model does not take.
REFUSES = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0.5 with this model. "
    "Only the default (1) value is supported.",
}


def body_hash(body: dict) -> str:
    """Hash of what was asked."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def by_hash(bank: Sequence[Answer]) -> Callable[[dict], Answer]:
    """The same question always gets the same answer of the bank, whatever came before."""
    return lambda body: bank[int(body_hash(body)[:8], 16) % len(bank)]


@dataclass
class Seen:
    """One request as it came."""

    body: dict
    headers: dict[str, str]
    hash: str


@dataclass
class FakeLlmServer:
    """Answers what is scripted, in the order of arrival, and then `otherwise`.

    Attributes:
        otherwise: chooses the answer to a body when the script has run out.
        log: file that gets a line for every request when it comes and when it is answered.
        seconds: how long an answer takes.
        hold: requests wait for this before they are answered, where it is set.
        hold_from: number of requests, from 0, that `hold` lets through.
        refuses: fields that no request may have.
    """

    otherwise: Callable[[dict], Answer] = field(
        default_factory=lambda: by_hash([Say(GOOD.format(weight=0.7, rest=0.3))])
    )
    log: Path | None = None
    seconds: float = 0.0
    port: int = 0
    hold: threading.Event | None = None
    hold_from: int = 0
    refuses: Sequence[str] = ()
    seen: list[Seen] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._script: deque[Answer] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._at_once = 0
        self.arrived = threading.Semaphore(0)
        self._http = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"fake": self}))
        # A fast test must not wait for the default of half a second.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def requests(self) -> int:
        """Number of requests that reached the server."""
        with self._lock:
            return len(self.seen)

    def script(self, *answers: Answer) -> None:
        with self._lock:
            self._script.extend(answers)

    def __enter__(self) -> FakeLlmServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, body: dict, headers: dict[str, str]) -> tuple[Answer, str, int]:
        """Notes a request and says how it is answered, its hash, and how many came before it."""
        with self._lock:
            number = body_hash(body)
            self.seen.append(Seen(body, headers, number))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            refused = [REFUSES[field] for field in self.refuses if field in body]
            if refused:
                answer: Answer = Status(400, message=refused[0], error_code="unsupported_parameter")
            else:
                answer = self._script.popleft() if self._script else self.otherwise(body)
            self._write("asked", number, headers)
            before = len(self.seen) - 1
        self.arrived.release()
        return answer, number, before

    def done(self, number: str, headers: dict[str, str], answer: Answer) -> None:
        with self._lock:
            self._at_once -= 1
            self._write("answered" if isinstance(answer, (Say, EmptyChoices, Echo)) else "failed", number, headers)

    def wait(self, before: int) -> None:
        if self.hold and before >= self.hold_from:
            self.hold.wait()
        if self.seconds:
            time.sleep(self.seconds)

    def hang(self) -> None:
        self._closing.wait()

    def _write(self, event: str, number: str, headers: dict[str, str]) -> None:
        if self.log:
            call = headers.get("x-client-request-id", "")
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, "hash": number, "call": call, "time": time.time()}) + "\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Clients that are killed or lose patience are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeLlmServer
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; the second would wait 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer, number, before = self.fake.take(body, headers)
        try:
            self.fake.wait(before)
            self._answer(answer, body, headers)
        except ConnectionError:
            self.close_connection = True
        finally:
            self.fake.done(number, headers, answer)

    def _answer(self, answer: Answer, body: dict, headers: dict[str, str]) -> None:
        if isinstance(answer, Echo):
            answer = Say(body["messages"][-1]["content"])
        if isinstance(answer, Hang):
            self.fake.hang()
            self.close_connection = True
        elif isinstance(answer, Status):
            error = {"error": {"message": answer.message, "code": answer.error_code, "type": "scripted"}}
            extra = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
            extra |= {"Location": answer.location} if answer.location else {}
            self._send(answer.code, json.dumps(error).encode(), extra)
        elif isinstance(answer, EchoKey):
            error = {"error": {"message": f"bad request with {headers.get('authorization')}"}}
            self._send(answer.code, json.dumps(error).encode(), {})
        elif isinstance(answer, Raw):
            self._send(200, answer.body, {})
        elif isinstance(answer, BreakOff):
            self._send(200, b'{"choices": [', {}, promised=1000)
            self.close_connection = True
        else:
            self._send(200, json.dumps(completion(answer, body)).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str], promised: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def completion(answer: Say | EmptyChoices, body: dict) -> dict:
    """A chat completion."""
    prompt = sum(len(message["content"].split()) for message in body["messages"])
    whole: dict = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": []}
    if isinstance(answer, EmptyChoices):
        return whole | {"usage": {"prompt_tokens": prompt, "completion_tokens": 0, "total_tokens": prompt}}
    content = [{"type": "text", "text": answer.text}] if answer.parts else answer.text
    message = {"role": "assistant", "content": content, "refusal": answer.refusal}
    if answer.thought is not None:
        message["reasoning_content"] = answer.thought
    whole["choices"] = [{"index": 0, "finish_reason": answer.finish, "message": message}]
    if answer.usage:
        said = len((answer.text or "").split())
        thought = answer.thought_tokens or 0
        counted = said if answer.beside else said + thought
        usage: dict = {"prompt_tokens": prompt, "completion_tokens": counted, "total_tokens": prompt + said + thought}
        if answer.thought_tokens is not None and not answer.beside:
            usage["completion_tokens_details"] = {"reasoning_tokens": thought}
        if answer.cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": answer.cached}
        return whole | {"usage": usage}
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--bank", type=Path, help="a JSON list of replies, given by hash of the request")
    parser.add_argument("--every", action="append", default=[], help="N:STATUS, every N-th request fails so")
    arguments = parser.parse_args()
    replies = (
        json.loads(arguments.bank.read_text(encoding="utf-8"))
        if arguments.bank
        else [GOOD.format(weight=0.7, rest=0.3)]
    )
    answers = by_hash([Say(reply) for reply in replies])
    faults = [tuple(int(part) for part in fault.split(":")) for fault in arguments.every]
    server = FakeLlmServer(log=arguments.log, seconds=arguments.seconds, port=arguments.port)

    def answer(body: dict) -> Answer:
        due = [status for every, status in faults if len(server.seen) % every == 0]
        return Status(due[0], retry_after=0) if due else answers(body)

    server.otherwise = answer
    with server:
        print(server.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
