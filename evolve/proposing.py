"""From planned slots to candidates: offline operators in the workers, LLM calls in threads beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from evolve.candidates import Candidate
from evolve.state import Slot
from evolve.store import Store
from fitness.failures import FailureKind
from fitness.scoring.pool import Pool, Task, split_evenly
from fitness.scoring.worker import WorkerSpec
from operators.llm.feedback import repair_values
from operators.protocol import Failure, Parent, Request
from operators.tasks import OperatorFailed, propose_chunk

if TYPE_CHECKING:
    from evolve.llm_proposing import Asker

POLL_SECONDS = 0.2


class Proposer:
    """Prepares the candidates of planned steps and hands them over in their turn.

    Args:
        spec: what workers need.
        store: where parents' sources are.
        labels: names of the heads.
        pool: whose workers propose.
        asker: the way to language models, None where none is configured.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        store: Store,
        labels: Sequence[str],
        pool: Pool,
        asker: Asker | None = None,
    ) -> None:
        self._spec = spec
        self._store = store
        self._labels = labels
        self._pool = pool
        self._asker = asker
        self._under_way: dict[int, list[list[Candidate] | Future[list[Candidate]]]] = {}

    @property
    def can_call(self) -> bool:
        """Whether language models may be asked: false once an endpoint is given up for this session."""
        return not (self._asker and self._asker.offline)

    @property
    def spent(self) -> str:
        """Why no further call may be made, empty while there is budget."""
        return self._asker.spent if self._asker else ""

    def still_spent(self) -> bool:
        """Whether earlier sessions spent the budget for language models, and it is no larger now."""
        return self._asker is not None and self._asker.still_spent()

    def tasks(self, slots: Sequence[Slot]) -> list[Task]:
        """Worker tasks that prepare the slots of one step; their results go to `receive` in the same order."""
        requests = self._requests([slot for slot in slots if not _from_reply(slot)])
        return [(propose_chunk, (self._spec, chunk)) for chunk in split_evenly(requests, 2 * self._pool.workers)]

    def receive(self, slots: Sequence[Slot], results: Sequence[Any]) -> None:
        """Takes the results of a step's tasks, and sends the prompts among them on their way."""
        answers = iter([answer for result in results for answer in result])
        parts = self._under_way.setdefault(slots[0].step, [])
        for slot in slots:
            answer = self._reply_values(slot) if _from_reply(slot) else next(answers)
            if isinstance(answer, dict) and self._asker:
                parts.append(self._asker.submit(slot, answer))
            else:
                parts.append(_offline(slot, answer))

    def collect(self, step: int, ends: Callable[[], bool] = lambda: False) -> list[Candidate]:
        """All candidates of a step, by slot; waits for those still under way.

        Args:
            step: the step.
            ends: asked while waiting for replies.

        Raises:
            InterruptedError: where the campaign is to stop while replies are awaited; what was answered is stored.
        """
        parts = self._under_way.pop(step, [])
        waiting = {part for part in parts if isinstance(part, Future)}
        while waiting:
            _, waiting = wait(waiting, timeout=POLL_SECONDS)
            if waiting and ends():
                raise InterruptedError
        found = [part.result() if isinstance(part, Future) else part for part in parts]
        return [candidate for candidates in found for candidate in candidates]

    def _reply_values(self, slot: Slot) -> dict[str, Any]:
        assert slot.failure is not None
        return repair_values(self._labels[slot.head], "", slot.failure) | {"common_errors": list(slot.common_errors)}

    def _requests(self, slots: Sequence[Slot]) -> list[tuple[str, Request]]:
        records = self._store.programs(parent[0] for slot in slots for parent in slot.parents)
        requests = []
        for slot in slots:
            parents = []
            for number, iou, cell in slot.parents:
                record = records[number]
                result = record.evaluation
                failure = None
                if result.failure is not None:
                    failure = Failure(result.failure, result.message, result.line, result.text)
                elif result.degenerate:
                    failure = Failure(FailureKind.DEGENERATE, result.degenerate)
                parents.append(Parent(record.program(), iou, cell, failure))
            label = self._labels[slot.head]
            requests.append(
                (slot.arm.operator, Request(slot.head, label, tuple(parents), slot.seed, slot.common_errors))
            )
        return requests


def _from_reply(slot: Slot) -> bool:
    """Whether a reply is to be mended that held no program: there is nothing for a worker to run."""
    return slot.arm.operator == "repair" and not slot.parents


def _offline(slot: Slot, answer: Any) -> list[Candidate]:
    if isinstance(answer, OperatorFailed):
        return [Candidate(slot, 0, None, FailureKind.INTERNAL, answer.message)]
    if not answer:
        return [Candidate(slot, 0, None, FailureKind.NONE, "nothing to propose")]
    return [Candidate(slot, index, proposal.program, note=proposal.note) for index, proposal in enumerate(answer)]
