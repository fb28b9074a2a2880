"""LLM proposals: prompts go out in threads, replies come back as candidates, whatever becomes of each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

from evolve.candidates import Candidate
from evolve.config import Config
from evolve.config.llm import LlmModel
from evolve.state import Slot
from evolve.store import Store
from fitness.errors import UserError
from fitness.failures import FailureKind
from operators.llm.client.calls import Message, conversation
from operators.llm.client.client import Client
from operators.llm.client.failures import BudgetSpent, CallFailed, EndpointDown
from operators.llm.replies import read_reply
from operators.llm.templates import Templates
from operators.protocol import Failure, Proposal

LEAST_PAUSE_SECONDS = 2.0
CUT_OFF_IN_A_ROW = 3


class Asker:
    """Asks language models for the candidates of slots.

    Args:
        config: models, budget, what to do when an endpoint stays down.
        store: where calls are kept.
        templates: the prompts.
        mode: "live", or "replay": from stored replies alone.
        on_incident: told of outages.

    Attributes:
        cached: replies that came from the store in this session.
        offline: an endpoint stayed down, and the campaign is to go on without it.
        spent: why no further call may be made, empty while there is budget.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        templates: Templates,
        *,
        mode: Literal["live", "replay"],
        on_incident: Callable[[str], None],
    ) -> None:
        llm = config.llm
        self._config = config
        self._store = store
        self._templates = templates
        self._on_incident = on_incident
        self._client = Client(store, llm.budget, max_in_flight=llm.max_in_flight, retries=llm.retries, mode=mode)
        # Threads wait for the client's own bound on requests; a few more of them hide the time between requests.
        self._threads = ThreadPoolExecutor(llm.max_in_flight + 4, thread_name_prefix="llm")
        self._models: dict[str, LlmModel] = {model.model: model for model in llm.models}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._one_asks = threading.Lock()
        self._told_down = False
        self._cut_off: Counter[str] = Counter()
        self.cached = 0
        self.offline = False
        self.spent = ""

    def submit(self, slot: Slot, values: Mapping[str, Any]) -> Future[list[Candidate]]:
        """Sends a slot's prompt on its way.

        Raises:
            UserError: for a template that cannot be filled in.
        """
        return self._threads.submit(self._ask, slot, self._messages(slot, values))

    def still_spent(self) -> bool:
        """Whether earlier sessions spent the budget, and it is no larger now."""
        return self._client.still_spent()

    def stop(self) -> None:
        """Ends all waiting; requests in flight are still answered and stored."""
        self._stopped.set()
        self._client.stop()

    def close(self) -> None:
        """Stops, and waits for requests in flight, whose replies are paid for."""
        self.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _messages(self, slot: Slot, values: Mapping[str, Any]) -> list[Message]:
        as_json = self._models[slot.arm.model or ""].response_format is not None
        messages = self._templates.render(slot.arm.prompt or slot.arm.operator, values, as_json=as_json)
        earlier = self._store.get(slot.repairs) if slot.repairs else None
        return conversation(earlier, messages) if earlier else messages

    def _ask(self, slot: Slot, messages: list[Message]) -> list[Candidate]:
        prompt = slot.arm.prompt or slot.arm.operator
        purpose = {
            "operator": slot.arm.operator,
            "prompt": prompt,
            "template": slot.arm.template,
            "head": slot.head,
            "parents": [number for number, _, _ in slot.parents],
            "step": slot.step,
            "slot": slot.slot,
        }
        sample = slot.step * self._config.search.batch + slot.slot
        entry = self._models[slot.arm.model or ""]
        try:
            try:
                reply = self._client.complete(entry, messages, sample=sample, purpose=purpose)
            except EndpointDown as down:
                self._wait_for(entry, down)
                # An endpoint that answers others and not this prompt is not down: its second failure is the prompt's.
                reply = self._client.complete(entry, messages, sample=sample, purpose=purpose)
        except BudgetSpent as spent:
            self._notice_spent(str(spent))
            return [Candidate(slot, 0, None, spent.kind, str(spent))]
        except CallFailed as failed:
            return [Candidate(slot, 0, None, failed.kind, str(failed))]
        with self._lock:
            self.cached += reply.cached
            self._told_down = False
        found = read_reply(reply.text, reply.finish, reply.usage, messages)
        self._notice_cut_off(entry, found)
        return [_candidate(slot, index, part, reply.key) for index, part in enumerate(found)]

    def _notice_spent(self, message: str) -> None:
        with self._lock:
            told, self.spent = bool(self.spent), message
        if not told and self._config.when_spent == "offline":
            self._on_incident(f"{message}; going on with offline operators (llm.budget.when_spent: offline)")

    def _notice_cut_off(self, entry: LlmModel, found: Sequence[Proposal | Failure]) -> None:
        """Says so where a model's replies end before they hold a program, again and again."""
        cut_off = all(isinstance(part, Failure) and part.kind is FailureKind.CUT_OFF for part in found)
        with self._lock:
            in_a_row = self._cut_off[entry.model] = self._cut_off[entry.model] + 1 if cut_off else 0
        if in_a_row == CUT_OFF_IN_A_ROW:
            last = found[-1]
            assert isinstance(last, Failure)
            self._on_incident(
                f"{entry.model}: {in_a_row} replies in a row without a program, the last of them: {last.message} than "
                f"{entry.max_tokens} (llm.models)"
            )

    def _wait_for(self, entry: LlmModel, down: EndpointDown) -> None:
        """Returns when an endpoint answers again.

        Raises:
            EndpointDown: where the campaign is configured to go on without it, or is to stop.
            UserError: where waiting will not help.
        """
        with self._lock:
            told, self._told_down = self._told_down, True
        if self._config.llm.on_failure == "offline":
            self.offline = True
            if not told:
                self._on_incident(f"{down}; going on with offline operators (llm.on_failure: offline)")
            raise down
        if down.permanent:
            raise UserError(f"llm: {down}; mend it and run again, the campaign resumes where it was")
        if not told:
            self._on_incident(f"{down}; paused until it answers (llm.on_failure: pause)")
        while not self._stopped.wait(max(LEAST_PAUSE_SECONDS, down.wait_seconds)):
            with self._one_asks:
                if not self._told_down:  # another thread has seen it answer
                    return
                try:
                    self._client.check(entry)
                except BudgetSpent:
                    raise
                except CallFailed:
                    continue
                self._told_down = False
                self._on_incident(f"{entry.model} answers again")
                return
        raise down


def _candidate(slot: Slot, index: int, part: Proposal | Failure, key: str) -> Candidate:
    if isinstance(part, Proposal):
        return Candidate(slot, index, part.program, note=part.note, call=key)
    message = part.message + (f" (line {part.line})" if part.line else "")
    return Candidate(slot, index, None, part.kind, message, call=key)
