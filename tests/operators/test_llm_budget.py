"""Budgets: counted in flight, over retries, over kills; never overspent."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from fake_llm_server import BreakOff, FakeLlmServer, Hang, Raw, Say, Status
from memory_store import MemoryStore
from test_llm_client import NO_LIMITS, PROMPT, ask, entry, key, make  # noqa: F401 - a fixture

from operators.llm.client.budget import Budget
from operators.llm.client.calls import Spend, spend_of
from operators.llm.client.failures import BudgetSpent, CallFailed, EndpointDown


def limits(**values):
    return SimpleNamespace(**({"calls": None, "tokens": None, "usd": None} | values))


@pytest.mark.parametrize("calls", [0, 1, 7])
def test_n_calls_are_never_n_plus_one(calls):
    with FakeLlmServer() as server, ThreadPoolExecutor(16) as threads:
        client = make(MemoryStore(), limits=limits(calls=calls), in_flight=16)
        asked = [threads.submit(ask, client, entry(server), sample) for sample in range(40)]
        spent = [isinstance(call.exception(), BudgetSpent) for call in asked]
        assert server.requests == calls
        assert spent.count(False) == calls


def test_retries_are_calls():
    with FakeLlmServer(otherwise=lambda body: Status(500)) as server:
        client = make(MemoryStore(), limits=limits(calls=3), retries=10)
        with pytest.raises(BudgetSpent, match="3 of 3 calls"):
            ask(client, entry(server))
        assert server.requests == 3


def test_a_later_session_goes_on_with_what_is_left():
    store = MemoryStore()
    with FakeLlmServer() as server:
        server.script(Say("a"), Status(500), Say("b"))
        first = make(store, limits=limits(calls=5))
        ask(first, entry(server), 0)
        ask(first, entry(server), 1)
        assert first.spent.calls == 3
        second = make(store, limits=limits(calls=5))
        assert second.spent == first.spent
        ask(second, entry(server), 2)
        ask(second, entry(server), 3)
        with pytest.raises(BudgetSpent):
            ask(second, entry(server), 4)
        assert server.requests == 5


def test_a_request_in_flight_at_a_kill_is_counted():
    store = MemoryStore()
    hold = threading.Event()
    with FakeLlmServer(hold=hold) as server, ThreadPoolExecutor(1) as threads:
        flying = threads.submit(ask, make(store, limits=limits(calls=1)), entry(server))
        server.arrived.acquire()
        left_behind = MemoryStore(dict(store.records))  # what is on the disk when the process is killed here
        hold.set()
        flying.result()
        resumed = make(left_behind, limits=limits(calls=1))
        assert resumed.spent.calls == 1
        assert resumed.spent.lost_tokens >= 100
        with pytest.raises(BudgetSpent):
            ask(resumed, entry(server))
        assert server.requests == 1


def test_a_cached_reply_needs_no_budget():
    store = MemoryStore()
    with FakeLlmServer() as server:
        ask(make(store), entry(server))
        assert ask(make(store, limits=limits(calls=0, tokens=0, usd=0.0)), entry(server)).cached


@pytest.mark.parametrize("limit", [{"tokens": 2000}, {"usd": 0.004}])
def test_tokens_and_dollars_are_never_overspent(limit):
    long = " ".join(["word"] * 100)
    with FakeLlmServer(otherwise=lambda body: Say(long)) as server, ThreadPoolExecutor(16) as threads:
        client = make(MemoryStore(), limits=limits(**limit), in_flight=16)
        asked = [threads.submit(ask, client, entry(server), sample) for sample in range(60)]
        outcomes = [call.exception() for call in asked]
        spent = client.spent
        assert spent.tokens <= limit.get("tokens", spent.tokens)
        assert spent.usd <= limit.get("usd", spent.usd)
        assert server.requests == outcomes.count(None) > 3
        assert any(isinstance(outcome, BudgetSpent) for outcome in outcomes)


def test_the_word_that_ends_a_campaign_is_clear():
    with FakeLlmServer() as server:
        for limit, words in (({"tokens": 9}, "llm.budget.tokens is spent: 0 of 9"), ({"usd": 0.0}, "llm.budget.usd")):
            with pytest.raises(BudgetSpent, match=words) as spent:
                ask(make(MemoryStore(), limits=limits(**limit)), entry(server))
            assert spent.value.limit == next(iter(limit))
        assert server.requests == 0


def test_free_models_need_no_dollars():
    free = None
    with FakeLlmServer() as server:
        assert ask(make(MemoryStore(), limits=limits(usd=0.0)), entry(server, price_per_million=free)).cost_usd == 0


def test_an_error_costs_a_call_and_no_tokens():
    with FakeLlmServer() as server:
        store = MemoryStore()
        client = make(store, retries=0)
        server.script(Status(500))
        with pytest.raises(EndpointDown):
            ask(client, entry(server))
        assert client.spent == spend_of(store.calls()) == Spend(calls=1)


@pytest.mark.parametrize("fault", [BreakOff(), Hang(), Raw(b"<html>")])
def test_what_an_endpoint_may_charge_for_without_an_answer_counts_at_its_most(fault):
    with FakeLlmServer() as server:
        store = MemoryStore()
        client = make(store, retries=0)
        server.script(fault)
        with pytest.raises(CallFailed):
            ask(client, entry(server, timeout=0.2))
        assert client.spent == spend_of(store.calls())
        assert client.spent.calls == 1
        assert client.spent.lost_tokens > 100
        assert client.spent.usd > 0


def test_a_reservation_waits_for_what_others_give_back():
    budget = Budget(limits(tokens=10))
    first = budget.reserve(10, 0.0)
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(budget.reserve, 8, 0.0)
        budget.settle(first, Spend(1, 1, 1))
        assert second.result().tokens == 8
    budget.settle(second.result(), Spend(1, 4, 4))
    with pytest.raises(BudgetSpent):
        budget.reserve(1, 0.0)


def test_replay_repeats_the_end_of_a_budget():
    store = MemoryStore()
    with FakeLlmServer() as server:
        client = make(store, limits=limits(calls=1))
        ask(client, entry(server))
        with pytest.raises(BudgetSpent):
            ask(client, entry(server), 1)
        with pytest.raises(BudgetSpent, match="1 of 1 calls"):
            ask(make(store, limits=NO_LIMITS, mode="replay"), entry(server), 1)
