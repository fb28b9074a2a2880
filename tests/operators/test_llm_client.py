"""The client against a scripted server: replies, faults, retries, keys, replay."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from fake_llm_server import (
    BreakOff,
    EchoKey,
    EmptyChoices,
    FakeLlmServer,
    Hang,
    Raw,
    Say,
    Status,
)
from memory_store import MemoryStore

from fitness.errors import UserError
from operators.llm.client.calls import conversation, spend_of
from operators.llm.client.client import Client
from operators.llm.client.failures import CallFailed, EndpointDown, ReplayMiss
from operators.llm.client.settings import check_models

SECRET = "sk-very-secret-0123456789"
NO_LIMITS = SimpleNamespace(calls=None, tokens=None, usd=None)
PROMPT = [{"role": "system", "content": "You write programs."}, {"role": "user", "content": "One, please."}]


class Clock:
    """A clock that jumps where others wait."""

    def __init__(self):
        self.seconds = 0.0
        self.waits = []
        self._lock = threading.Lock()

    def now(self):
        with self._lock:
            return self.seconds

    def wait(self, seconds):
        with self._lock:
            self.waits.append(seconds)
            self.seconds += seconds
        return False


def entry(server, **changes):
    values = {
        "model": "scribe-1",
        "base_url": server.base_url,
        "api_key_env": "SCRIBE_KEY",
        "price_per_million": SimpleNamespace(input=1.0, output=4.0, cached_input=None, reasoning=None),
        "response_format": None,
        "temperature": 0.5,
        "max_tokens": 100,
        "timeout": 30.0,
        "tokens_per_second": 50.0,
        "extra": {},
    }
    return SimpleNamespace(**(values | changes))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SCRIBE_KEY", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with FakeLlmServer() as running:
        yield running


@pytest.fixture
def store():
    return MemoryStore()


def make(store, *, limits=NO_LIMITS, retries=3, clock=None, in_flight=4, mode="live"):
    return Client(store, limits, max_in_flight=in_flight, retries=retries, clock=clock or Clock(), mode=mode)


def ask(client, asked, sample=0, prompt=PROMPT):
    return client.complete(asked, prompt, sample=sample, purpose={"operator": "fresh"})


def test_a_reply_comes_with_its_tokens_and_cost(server, store):
    server.script(Say("two words"))
    reply = ask(make(store), entry(server))
    assert (reply.text, reply.finish, reply.cached) == ("two words", "stop", False)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (5, 2)
    assert reply.cost_usd == pytest.approx((5 * 1.0 + 2 * 4.0) / 1e6)


def test_the_request_holds_what_the_entry_says(server, store):
    ask(make(store), entry(server, extra={"top_p": 0.9}))
    seen = server.seen[0]
    assert seen.body == {
        "model": "scribe-1",
        "messages": PROMPT,
        "temperature": 0.5,
        "max_tokens": 100,
        "top_p": 0.9,
    }
    assert seen.headers["authorization"] == f"Bearer {SECRET}"


def test_a_length_by_another_name_replaces_max_tokens(server, store):
    ask(make(store), entry(server, temperature=None, extra={"max_completion_tokens": 7}))
    assert server.seen[0].body["max_completion_tokens"] == 7
    assert not {"max_tokens", "temperature"} & set(server.seen[0].body)


@pytest.mark.parametrize("refused", [("max_tokens",), ("temperature",), ("max_tokens", "temperature")])
def test_a_field_that_a_model_refuses_is_left_out_or_renamed_and_not_tried_again(server, store, refused):
    server.refuses = refused
    client = make(store, retries=0)
    reply = ask(client, entry(server))
    assert server.requests == 1 + len(refused) == client.spent.calls
    ask(client, entry(server), sample=1)
    assert server.requests == 2 + len(refused)
    body = server.seen[-1].body
    assert not set(refused) & set(body)
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 100
    assert store.get(reply.key)["settings"].keys() == body.keys() - {"model", "messages"}
    assert ask(make(store), entry(server)).cached, "what was asked for is the call's key"


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 100. This model supports at most 50 completion tokens",
        "'max_tokens' or 'max_completion_tokens' is too large: 100. The maximum context length is 90 tokens",
        "This model does not support tools",
    ],
)
def test_a_length_that_is_too_large_is_told_and_not_sent_by_another_name(server, store, said):
    server.script(Status(400, message=said))
    with pytest.raises(CallFailed, match=said[:20]):
        ask(make(store), entry(server))
    assert server.requests == 1


def test_a_resent_request_counts_as_a_call(server, store):
    server.refuses = ("max_tokens",)
    limits = SimpleNamespace(calls=1, tokens=None, usd=None)
    with pytest.raises(CallFailed, match="1 of 1 calls"):
        ask(make(store, limits=limits), entry(server))
    assert server.requests == 1


@pytest.mark.parametrize(
    ("said", "completion", "reasoning"),
    [
        (Say("two words", thought_tokens=30), 32, 30),
        (Say("two words", thought_tokens=30, beside=True), 32, 30),
        (Say("two words", thought="nine char"), 2, 1),
        (Say("two words", thought="nine char", usage=False), 18, 9),
        (Say("", finish="length", thought_tokens=100), 100, 100),
    ],
)
def test_thought_is_counted_apart_however_it_is_reported(server, store, said, completion, reasoning):
    server.script(said)
    client = make(store)
    usage = ask(client, entry(server)).usage
    assert (usage.completion_tokens, usage.reasoning_tokens) == (completion, reasoning)
    assert client.spent.reasoning_tokens == spend_of(store.calls()).reasoning_tokens == reasoning


def test_thought_and_cached_tokens_have_prices_of_their_own(server, store):
    server.script(Say("two words", thought_tokens=30, cached=3))
    price = SimpleNamespace(input=10.0, output=40.0, cached_input=1.0, reasoning=4.0)
    reply = ask(make(store), entry(server, price_per_million=price))
    assert reply.cost_usd == pytest.approx((2 * 10.0 + 3 * 1.0 + 2 * 40.0 + 30 * 4.0) / 1e6)


def test_the_dearest_kind_of_token_is_set_aside(store):
    price = SimpleNamespace(input=1.0, output=1.0, cached_input=0.1, reasoning=90.0)
    client = make(store, limits=SimpleNamespace(calls=None, tokens=None, usd=0.001))
    with FakeLlmServer() as server, pytest.raises(CallFailed, match=r"may cost 0\.009"):
        ask(client, entry(server, price_per_million=price))


def test_an_endpoint_holds_a_model_to_json_where_that_is_asked_for(server, store):
    ask(make(store), entry(server, response_format="json_schema"))
    asked = server.seen[0].body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"]["required"] == ["programs"]


def test_the_same_question_is_paid_for_once(server, store):
    first = ask(make(store), entry(server))
    again = ask(make(store), entry(server, base_url="http://127.0.0.1:9/v1", timeout=1.0))
    assert again.cached
    assert (again.text, again.cost_usd, again.key) == (first.text, first.cost_usd, first.key)
    assert server.requests == 1


@pytest.mark.parametrize(
    "changes", [{"model": "scribe-2"}, {"temperature": 0.6}, {"max_tokens": 99}, {"extra": {"a": 1}}]
)
def test_another_model_or_setting_is_another_question(server, store, changes):
    client = make(store)
    ask(client, entry(server))
    assert not ask(client, entry(server, **changes)).cached


def test_another_sample_or_message_is_another_question(server, store):
    client = make(store)
    ask(client, entry(server))
    assert not ask(client, entry(server), sample=1).cached
    assert not ask(client, entry(server), prompt=[*PROMPT, {"role": "user", "content": "more"}]).cached


def test_twins_in_flight_are_asked_once(store):
    hold = threading.Event()
    with FakeLlmServer(hold=hold) as server, ThreadPoolExecutor(2) as threads:
        client = make(store)
        twins = [threads.submit(ask, client, entry(server)) for _ in range(2)]
        server.arrived.acquire()
        hold.set()
        assert sorted(twin.result().cached for twin in twins) == [False, True]
        assert server.requests == 1


@pytest.mark.parametrize("fault", [Status(500), Status(503), Status(429), BreakOff(), Raw(b"<html>busy"), Raw(b"[1]")])
def test_a_passing_fault_is_tried_again(server, store, fault):
    server.script(fault, Say("fine"))
    assert ask(make(store), entry(server)).text == "fine"
    assert server.requests == 2


def test_a_hanging_socket_ends_with_the_timeout_and_is_tried_again(server, store):
    server.script(Hang(), Say("fine"))
    assert ask(make(store), entry(server, timeout=0.2)).text == "fine"
    assert server.requests == 2


def test_retry_after_is_honoured_in_seconds_and_as_a_date(server, store):
    clock = Clock()
    server.script(Status(429, retry_after=17), Status(429, retry_after="Thu, 01 Jan 1970 00:00:00 GMT"))
    ask(make(store, clock=clock), entry(server))
    assert clock.waits[0] == 17
    assert clock.waits[1:] == [0]


def test_a_rate_limit_holds_back_all_calls_to_the_endpoint(server, store):
    class Held(Clock):
        def wait(self, seconds):
            self.waits.append(seconds)
            return True  # stopped: nobody sends while the endpoint asked for a rest

    client = make(store, clock=Held())
    server.script(Status(429, retry_after=17))
    for sample in range(2):
        with pytest.raises(CallFailed) as failure:
            ask(client, entry(server), sample=sample)
        assert failure.value.kind == "stopped"
    assert server.requests == 1


def test_backoff_grows_and_has_an_end(server, store):
    clock = Clock()
    server.script(*[Status(500)] * 9)
    with pytest.raises(EndpointDown):
        ask(make(store, clock=clock, retries=8), entry(server))
    assert all(later > 1.2 * earlier for earlier, later in zip(clock.waits[:4], clock.waits[1:5], strict=True))
    assert max(clock.waits) <= 30
    assert server.requests == 9


def test_the_package_does_not_retry_beside_us(server, store):
    server.script(*[Status(500)] * 5)
    with pytest.raises(EndpointDown):
        ask(make(store, retries=0), entry(server))
    assert server.requests == 1


def test_a_redirect_is_not_followed(server, store):
    server.script(Status(307, location=server.base_url + "/chat/completions"))
    with pytest.raises(EndpointDown) as failure:
        ask(make(store), entry(server))
    assert failure.value.permanent
    assert server.requests == 1


def test_an_endpoint_that_stays_down_is_left_alone_and_tried_again_later(server, store):
    clock = Clock()
    client = make(store, clock=clock, retries=1)
    server.script(Status(502), Status(502), Status(502))
    with pytest.raises(EndpointDown) as failure:
        ask(client, entry(server))
    assert failure.value.model == "scribe-1"
    assert failure.value.wait_seconds > 0
    assert not failure.value.permanent
    with pytest.raises(EndpointDown):
        ask(client, entry(server), sample=1)
    assert server.requests == 2, "a call was sent to an endpoint known to be down"
    clock.wait(failure.value.wait_seconds)
    with pytest.raises(EndpointDown) as later:
        ask(client, entry(server), sample=1)
    assert server.requests == 3, "coming back is tried once, without retries"
    assert later.value.wait_seconds > failure.value.wait_seconds
    clock.wait(later.value.wait_seconds)
    assert not ask(client, entry(server)).cached
    assert not ask(client, entry(server), sample=1).cached


def test_one_model_down_leaves_another_up(server, store):
    client = make(store, retries=0)
    server.script(Status(500))
    with pytest.raises(EndpointDown):
        ask(client, entry(server))
    assert ask(client, entry(server, model="scribe-2")).text


def test_a_call_that_alone_fails_does_not_take_the_endpoint_down(server, store):
    poison = [{"role": "user", "content": "poison"}]
    answers = iter([Status(500), Say("fine"), Status(500)])
    server.otherwise = lambda body: next(answers)
    client = make(store, retries=1)

    class Between(Clock):
        def wait(self, seconds):
            ask(client, entry(server))  # another call is answered between the two attempts
            return super().wait(seconds)

    client._time = Between()
    with pytest.raises(CallFailed) as failure:
        ask(client, entry(server), prompt=poison)
    assert failure.value.kind == "server error"
    assert not isinstance(failure.value, EndpointDown)


def test_an_unreachable_endpoint_costs_no_calls(store):
    client = make(store, retries=2)
    nowhere = SimpleNamespace(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(EndpointDown, match="could not be reached"):
        ask(client, entry(nowhere))
    assert client.spent.calls == 0
    assert spend_of(store.calls()).calls == 0


@pytest.mark.parametrize("base_url", ["127.0.0.1:9/v1", "ftp://127.0.0.1/v1", "http://"])
def test_an_address_that_is_none_is_said_at_once(store, base_url, monkeypatch):
    monkeypatch.setenv("HEADSCRIBE_ENDPOINTS", base_url)
    clock = Clock()
    with pytest.raises(EndpointDown) as failure:
        ask(make(store, clock=clock), entry(SimpleNamespace(base_url=base_url)))
    assert failure.value.permanent or "could not be reached" in str(failure.value)


@pytest.mark.parametrize("code", [401, 403, 404, 402])
def test_a_refused_key_or_unknown_model_is_permanent(server, store, code):
    client = make(store)
    server.script(Status(code))
    for sample in range(2):
        with pytest.raises(EndpointDown) as failure:
            ask(client, entry(server), sample=sample)
        assert failure.value.permanent
    assert server.requests == 1


def test_an_exhausted_account_is_no_rate_limit(server, store):
    server.script(Status(429, error_code="insufficient_quota", retry_after=1))
    with pytest.raises(EndpointDown) as failure:
        ask(make(store), entry(server))
    assert failure.value.permanent
    assert server.requests == 1


def test_a_very_long_rate_limit_is_no_reason_to_sit_and_wait(server, store):
    clock = Clock()
    server.script(Status(429, retry_after=86_400))
    with pytest.raises(EndpointDown) as failure:
        ask(make(store, clock=clock), entry(server))
    assert failure.value.wait_seconds == pytest.approx(86_400)
    assert clock.waits == []


def test_a_bad_request_is_the_calls_own_fault_until_all_are_bad(server, store):
    client = make(store)
    server.script(*[Status(400, message="context too long")] * 5)
    for sample in range(4):
        with pytest.raises(CallFailed, match="context too long") as failure:
            ask(client, entry(server), sample=sample)
        assert failure.value.kind == "bad request"
    with pytest.raises(EndpointDown) as down:
        ask(client, entry(server), sample=4)
    assert down.value.permanent
    assert server.requests == 5


@pytest.mark.parametrize(
    ("answer", "text", "finish"),
    [
        (EmptyChoices(), "", "stop"),
        (Say(None), "", "stop"),
        (Say(""), "", "stop"),
        (Say(None, refusal="I would rather not."), "I would rather not.", "refusal"),
        (Say("in parts", parts=True), "in parts", "stop"),
        (Say("cut", finish="length"), "cut", "length"),
        (Say("odd", finish=None), "odd", "stop"),
        (Say("\ud800 half"), "? half", "stop"),
    ],
)
def test_odd_answers_are_replies_all_the_same(server, store, answer, text, finish):
    server.script(answer)
    reply = ask(make(store), entry(server))
    assert (reply.text, reply.finish) == (text, finish)
    assert store.get(reply.key)["text"] == text


def test_tokens_that_the_endpoint_does_not_count_are_taken_at_their_most(server, store):
    server.script(Say("four", usage=False))
    reply = ask(make(store), entry(server))
    assert reply.usage.completion_tokens == 4
    assert reply.usage.prompt_tokens >= sum(len(message["content"]) for message in PROMPT)
    assert store.get(reply.key)["estimated"]


def test_in_flight_is_bounded(store):
    hold = threading.Event()
    with FakeLlmServer(hold=hold) as server, ThreadPoolExecutor(12) as threads:
        client = make(store, in_flight=3)
        calls = [threads.submit(ask, client, entry(server), sample) for sample in range(12)]
        for _ in range(3):
            server.arrived.acquire()
        hold.set()
        for call in calls:
            call.result()
        assert server.most_at_once == 3
        assert server.requests == 12


def test_stop_ends_waiting_and_keeps_what_is_in_flight(store):
    hold = threading.Event()
    with FakeLlmServer(hold=hold) as server, ThreadPoolExecutor(2) as threads:
        limits = SimpleNamespace(calls=1, tokens=None, usd=None)
        client = Client(store, limits, max_in_flight=2, retries=3)
        flying = threads.submit(ask, client, entry(server))
        server.arrived.acquire()
        waiting = threads.submit(ask, client, entry(server), 1)
        client.stop()
        with pytest.raises(CallFailed, match="stopped"):
            waiting.result()
        hold.set()
        assert flying.result().text
        assert store.get(flying.result().key)
        assert server.requests == 1


def test_the_key_is_read_when_a_call_is_made(server, store, monkeypatch):
    client = make(store)
    monkeypatch.setenv("SCRIBE_KEY", " other-key-0123\n")
    ask(client, entry(server))
    assert server.seen[0].headers["authorization"] == "Bearer other-key-0123"


@pytest.mark.parametrize("value", [None, "", "  ", "two words", "sch\u00fcssel"])
def test_a_missing_or_impossible_key_is_said_clearly(server, store, monkeypatch, value):
    if value is None:
        monkeypatch.delenv("SCRIBE_KEY")
    else:
        monkeypatch.setenv("SCRIBE_KEY", value)
    client = make(store)
    with pytest.raises(UserError, match="SCRIBE_KEY") as error:
        ask(client, entry(server))
    assert not value or not value.strip() or value not in str(error.value)
    assert server.requests == 0
    assert client.spent.calls == 0


def test_no_other_key_of_the_environment_is_sent(server, store, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-somebody-else")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-for-somebody-else")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-for-somebody-else")
    ask(make(store), entry(server, api_key_env=None))
    assert "somebody-else" not in str(server.seen[0].headers)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500])
def test_the_key_is_in_no_error_and_no_record(server, store, code):
    server.otherwise = lambda body: EchoKey(code)
    with pytest.raises(CallFailed) as failure:
        ask(make(store, retries=1), entry(server))
    seen = []
    error = failure.value
    while error is not None:
        seen.append(f"{error!r} {error} {error.__dict__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert SECRET not in " ".join(seen)
    assert SECRET not in store.all_text()


def test_a_reply_that_quotes_the_key_is_stored_without_it(server, store):
    server.script(Say(f"your key is {SECRET}"))
    reply = ask(make(store), entry(server))
    assert SECRET not in reply.text
    assert SECRET not in store.all_text()


def test_a_password_in_the_address_is_not_shown(store):
    with pytest.raises(EndpointDown) as failure:
        ask(make(store, retries=0), entry(SimpleNamespace(base_url="http://me:hunter2@127.0.0.1:9/v1")))
    assert "hunter2" not in str(failure.value)
    assert "127.0.0.1:9" in str(failure.value)


def test_replay_answers_from_the_store_alone(server, store):
    ask(make(store), entry(server))
    replay = make(store, mode="replay")
    assert ask(replay, entry(server)).cached
    with pytest.raises(ReplayMiss, match="no reply of scribe-1 is stored"):
        ask(replay, entry(server), sample=1)
    assert server.requests == 1


@pytest.mark.parametrize("fault", [Status(400), Status(500), Status(401)])
def test_replay_ends_a_failed_call_as_it_ended_then(server, store, fault):
    server.script(fault)
    with pytest.raises(CallFailed) as then:
        ask(make(store, retries=0), entry(server))
    with pytest.raises(CallFailed) as now:
        ask(make(store, mode="replay"), entry(server))
    assert (type(now.value), now.value.kind, str(now.value)) == (type(then.value), then.value.kind, str(then.value))


def test_a_call_that_failed_once_can_be_answered_later(server, store):
    server.script(Status(400))
    with pytest.raises(CallFailed):
        ask(make(store), entry(server))
    later = ask(make(store), entry(server))
    assert not later.cached
    assert ask(make(store, mode="replay"), entry(server)).text == later.text


def test_check_asks_anew_every_time(server, store):
    client = make(store)
    assert not client.check(entry(server)).cached
    assert not client.check(entry(server)).cached
    assert server.requests == 2
    server.script(Status(500))
    with pytest.raises(CallFailed):
        client.check(entry(server))
    assert server.requests == 3


def test_a_conversation_goes_on_where_it_ended(server, store):
    client = make(store)
    reply = ask(client, entry(server))
    messages = conversation(
        store.get(reply.key), [{"role": "system", "content": "s"}, {"role": "user", "content": "Mend it."}]
    )
    ask(client, entry(server), prompt=messages)
    assert [message["role"] for message in server.seen[1].body["messages"]] == ["system", "user", "assistant", "user"]
    assert server.seen[1].body["messages"][2]["content"] == reply.text


def test_records_of_replies_hold_request_reply_and_purpose(server, store):
    reply = ask(make(store), entry(server))
    ((key, record),) = [(k, r) for k, r in store.calls() if r["event"] == "answered"]
    assert key == reply.key
    assert record["messages"] == PROMPT
    assert record["purpose"] == {"operator": "fresh"}
    assert record["settings"] == {"temperature": 0.5, "max_tokens": 100}


def test_entries_that_cannot_be_told_apart_are_refused(server):
    with pytest.raises(UserError, match="named twice"):
        check_models([entry(server), entry(server)])
    with pytest.raises(UserError, match="must not set 'n'"):
        check_models([entry(server, extra={"n": 4})])
