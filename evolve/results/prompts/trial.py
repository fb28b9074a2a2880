"""Two templates of one operator tried on the same heads, parents and feedback of a run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolve.config import Config
from evolve.config.llm import LlmModel
from evolve.listeners import Listener
from evolve.replay import replay
from evolve.results.prompts.comparison import PromptComparison, compare_calls
from evolve.results.prompts.statistics import BenchCall, CandidateOutcome
from evolve.results.provenance import dated, file_facts, provenance_of
from evolve.session import captured, make_pool
from evolve.store import Store
from evolve.store.run_dir import RunDir, RunLock
from fitness.errors import UserError, nearest
from fitness.program import Program
from fitness.scoring.pool import Pool, split_evenly
from fitness.scoring.worker import Evaluation, WorkerSpec
from operators.llm.client.calls import Message
from operators.llm.client.client import Client
from operators.llm.client.failures import BudgetSpent, CallFailed, EndpointDown
from operators.llm.prompt_check import examples
from operators.llm.replies import read_reply
from operators.llm.templates import Templates, found_set
from operators.protocol import Failure, Parent, Request
from operators.registry import LLM_OPERATORS, get_operator
from operators.tasks import OperatorFailed, fit_chunk, propose_chunk

COMPARISONS = "comparisons.sqlite"
# Tag that keeps the random stream of a trial apart from the campaign's.
TRIAL = 0xC0


@dataclass(frozen=True)
class Trial:
    """Two templates compared.

    Attributes:
        templates: their files.
        operator: whose templates they are.
        comparison: how they did.
        provenance: of the run, and the names and hashes of both `templates`.
    """

    templates: tuple[str, str]
    operator: str
    comparison: PromptComparison
    provenance: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return self.comparison.sentence(*self.templates)

    def as_json(self) -> dict[str, Any]:
        """What `prompts --compare --json` prints."""
        named = {"templates": self.templates, "operator": self.operator, "sentence": self.sentence}
        return named | self.comparison.as_dict() | {"provenance": dict(self.provenance)}


@dataclass(frozen=True)
class _Reply:
    """Programs and failures of one reply, and what it cost."""

    sources: tuple[str, ...]
    failures: tuple[str, ...]
    failure: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


def compare_templates(
    templates: tuple[Path, Path],
    run_dir: RunDir,
    *,
    operator: str | None = None,
    pairs: int = 20,
    listener: Listener | None = None,
) -> Trial:
    """Asks both templates over the same parents, heads and feedback of a run, and says which gains more.

    What a call gains is how far its best program exceeds the best parent's held-out IoU on the head asked about; 0
    where it does not. Replies are kept in `comparisons.sqlite` of the run, so that a comparison is paid for once.

    Args:
        templates: two files.
        run_dir: a run with LLM models.
        operator: whose templates they are; by the first file's name where None.
        pairs: number of pairs of calls.
        listener: told how it goes.

    Raises:
        UserError: for a run without LLM models, templates that cannot be filled in, a spent budget.
    """
    sources = [read_template(path) for path in templates]
    name = operator or templates[0].stem.split(".")[0]
    if name not in LLM_OPERATORS or name == "repair":
        known = [key for key in LLM_OPERATORS if key != "repair"]
        asked = "--operator" if operator else f"the name of {templates[0]} (or --operator)"
        raise UserError(f"prompts --compare: {asked} must be that of an operator{nearest(name, known)}")
    config = run_dir.load_config_to_run()
    if not config.llm.models:
        raise UserError(f"{run_dir.path}: its configuration names no llm.models to ask")
    both = [_templates(name, source, config.llm.prompts) for source in sources]
    with RunLock(run_dir):
        attention, spec, _ = captured(config, listener)
        pool = make_pool(config, listener)
        requests = _requests(run_dir, config, name, attention.labels, pairs)
        values = _prompt_values(pool, spec, name, requests)
        as_json = config.llm.models[0].response_format is not None
        messages = [[each.render(name, value, as_json=as_json) for value in values] for each in both]
        replies = _ask_all(run_dir, config, name, messages, listener)
        found = _evaluate(pool, spec, replies)
        fitted = _fit(pool, spec, replies, requests, found)
    calls = [
        [
            _bench_call(reply, name, template.hash(name), config.llm.models[0], request, found, fitted)
            for reply, request in zip(side, requests, strict=True)
        ]
        for side, template in zip(replies, both, strict=True)
    ]
    verdict = compare_calls(list(zip(calls[0], calls[1], strict=True)))
    store = run_dir.open_store()
    try:
        about = dated(provenance_of(store)) | {"templates": [file_facts(path) for path in templates]}
    finally:
        store.close()
    return Trial((str(templates[0]), str(templates[1])), name, verdict, about)


def read_template(path: Path) -> str:
    """The text of a template.

    Raises:
        UserError: where it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"prompts --compare: cannot read {path}: {reason}; give two files of prompts") from None


def _templates(operator: str, source: str, own: Path | None) -> Templates:
    """The run's templates with one of them replaced."""
    with tempfile.TemporaryDirectory(prefix="headscribe-") as folder:
        if own is not None:
            shutil.copytree(found_set(own), folder, dirs_exist_ok=True)
        (Path(folder) / f"{operator}.md").write_text(source, encoding="utf-8")
        templates = Templates(Path(folder))
    templates.check(operator, examples(operator))
    return templates


def _requests(run_dir: RunDir, config: Config, operator: str, labels: Sequence[str], pairs: int) -> list[Request]:
    """The same parents and heads for both templates: elites of the run's grid, drawn by its seed."""
    store = run_dir.open_store()
    try:
        state = replay(store, config)
        rng = np.random.default_rng((config.seed, TRIAL))
        wanted = get_operator(operator).n_parents
        requests = []
        for pair in range(pairs):
            head = pair % len(labels)
            elites = state.grid.sample_elites(head, wanted, rng) if wanted else []
            records = store.programs(number for number, _, _ in elites)
            parents = tuple(Parent(records[number].program(), iou, cell) for number, iou, cell in elites)
            requests.append(Request(head, labels[head], parents, (config.seed, TRIAL, pair)))
        return requests
    finally:
        store.close()


def _prompt_values(pool: Pool, spec: WorkerSpec, operator: str, requests: Sequence[Request]) -> list[Mapping[str, Any]]:
    """What the templates are filled with, from the fit split."""
    answers = pool.run([(propose_chunk, (spec, [(operator, request)])) for request in requests])
    values = [answer for (answer,) in answers]
    for value in values:
        if isinstance(value, OperatorFailed):
            raise UserError(f"prompts --compare: {value.message}")
    return values


def _ask_all(
    run_dir: RunDir, config: Config, operator: str, messages: list[list[list[Message]]], listener: Listener | None
) -> list[list[_Reply]]:
    """Replies to both sides' messages, pair by pair."""
    store = Store(run_dir.file(COMPARISONS), create=True)
    llm = config.llm
    client = Client(store, llm.budget, max_in_flight=llm.max_in_flight, retries=llm.retries)
    try:
        # Both templates of a pair are asked with the same sample number: two equal prompts get one reply.
        jobs = [(side, pair) for pair in range(len(messages[0])) for side in range(2)]
        with ThreadPoolExecutor(llm.max_in_flight) as threads:
            futures = [
                threads.submit(_ask, client, llm.models[0], operator, messages[side][pair], pair) for side, pair in jobs
            ]
            for done, future in enumerate(futures, start=1):
                future.result()
                if listener is not None:
                    listener.on_stage("calls", done, len(futures))
        replies: list[list[_Reply]] = [[], []]
        for (side, _), future in zip(jobs, futures, strict=True):
            replies[side].append(future.result())
        return replies
    finally:
        client.close()
        store.close()


def _ask(client: Client, model: LlmModel, operator: str, messages: list[Message], pair: int) -> _Reply:
    try:
        reply = client.complete(model, messages, sample=pair, purpose={"operator": operator, "pair": pair})
    except (BudgetSpent, EndpointDown) as error:
        raise UserError(f"prompts --compare: {error}; what was answered is kept, run it again to resume") from None
    except CallFailed as failed:
        return _Reply((), (), failed.kind, 0, 0, 0.0)
    parts = read_reply(reply.text, reply.finish, reply.usage, messages)
    sources = tuple(part.source for part in parts if not isinstance(part, Failure))
    failures = tuple(part.kind for part in parts if isinstance(part, Failure))
    return _Reply(sources, failures, "", reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.cost_usd)


def _evaluate(pool: Pool, spec: WorkerSpec, replies: list[list[_Reply]]) -> dict[str, Evaluation]:
    """Evaluations of all programs of all replies, by source."""
    sources = list(dict.fromkeys(source for side in replies for reply in side for source in reply.sources))
    programs = [Program.parse(source) for source in sources]
    return dict(zip(sources, pool.evaluate(spec, programs, "held_out"), strict=True))


def _fit(
    pool: Pool,
    spec: WorkerSpec,
    replies: list[list[_Reply]],
    requests: Sequence[Request],
    found: Mapping[str, Evaluation],
) -> dict[tuple[str, int], Evaluation]:
    """Evaluations of programs that ran, with their numbers fitted, by source and head, where that gains."""
    asked = [
        (source, request.head)
        for side in replies
        for reply, request in zip(side, requests, strict=True)
        for source in reply.sources
        if found[source].scores is not None
    ]
    wanted = list(dict.fromkeys(asked))
    chunks = split_evenly([(Program.parse(source), head) for source, head in wanted], 2 * pool.workers)
    answers = [answer for part in pool.run([(fit_chunk, (spec, chunk)) for chunk in chunks]) for answer in part]
    return {key: answer[1] for key, answer in zip(wanted, answers, strict=True) if isinstance(answer, tuple)}


def _bench_call(
    reply: _Reply,
    operator: str,
    template: str,
    model: LlmModel,
    request: Request,
    found: Mapping[str, Evaluation],
    fitted: Mapping[tuple[str, int], Evaluation],
) -> BenchCall:
    """The call with what its programs gain over the best parent on the head asked about."""
    before = max((parent.iou for parent in request.parents), default=0.0)
    outcomes = [CandidateOutcome(kind) for kind in reply.failures]
    best = best_fitted = 0.0
    for source in reply.sources:
        evaluation, fit = found[source], fitted.get((source, request.head))
        iou = _iou(evaluation, request.head)
        best_fitted = max(best_fitted, 0.0 if fit is None else _iou(fit, request.head) - before)
        # The best program is the call's gain: several weak ones do not add up to a good one.
        gain, best = max(0.0, iou - before - best), max(best, iou - before)
        outcomes.append(CandidateOutcome(evaluation.kind, gain))
    costs = reply.prompt_tokens, reply.completion_tokens, reply.cost_usd
    beyond = max(0.0, best_fitted - best)
    return BenchCall(operator, template, model.model, tuple(outcomes), reply.failure, *costs, beyond)


def _iou(evaluation: Evaluation, head: int) -> float:
    return 0.0 if evaluation.scores is None else float(evaluation.scores[head].mean())
