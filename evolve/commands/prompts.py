"""`headscribe prompts`: what prompts earned in runs, and two templates tried on the same parents and feedback."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evolve.commands.run import captured, confinement
from evolve.config import LlmModel, nearest
from evolve.finished_run import progress_bar
from evolve.prompt_bench import BenchCall, CandidateOutcome, compare, prompt_table
from evolve.run_dir import RunDir, RunLock
from evolve.state import SearchState
from evolve.store import ProposalRecord, Store
from evolve.views.console import error_console
from fitness.errors import UserError
from fitness.program import Program
from fitness.scoring.pool import Pool
from operators.llm.client.calls import Message
from operators.llm.client.client import Client
from operators.llm.client.failures import BudgetSpent, CallFailed, EndpointDown
from operators.llm.prompt_check import examples
from operators.llm.replies import read
from operators.llm.templates import Templates
from operators.protocol import Failure, Parent, Request
from operators.registry import LLM_OPERATORS, get_operator
from operators.tasks import OperatorFailed, propose_chunk

COMPARISONS = "comparisons.sqlite"


def show_prompts(runs: Sequence[Path], *, quiet: bool) -> dict[str, Any]:
    """Prints one row for each template version, operator and model of one or more runs.

    Raises:
        UserError: where a directory holds no run.
    """
    calls: list[BenchCall] = []
    names: dict[str, str] = {}
    for path in runs:
        store = RunDir(path).open_store()
        try:
            found = bench_calls(store)
            names |= {p.template: p.prompt for p in store.all_proposals() if p.template and p.prompt}
        finally:
            store.close()
        calls += found
    rows = [{"prompt": names.get(row["template"], "")} | row for row in prompt_table(calls)]
    if not quiet:
        _print_rows(rows)
    return {"prompts": rows}


def bench_calls(store: Store) -> list[BenchCall]:
    """Every LLM call of a campaign with what came of it."""
    slots: dict[tuple[int, int], list[ProposalRecord]] = defaultdict(list)
    for proposal in store.all_proposals():
        if proposal.model:
            slots[proposal.step, proposal.slot].append(proposal)
    numbers = [p.number for group in slots.values() for p in group if p.number is not None and p.outcome == "new"]
    kinds = {number: record.evaluation.kind for number, record in store.programs(numbers).items()}
    calls = []
    for group in slots.values():
        first = group[0]
        record = store.get(first.call) if first.call else None
        outcomes = tuple(
            CandidateOutcome(kinds[p.number or 0] if p.outcome == "new" else p.outcome, p.gain) for p in group
        )
        calls.append(
            BenchCall(
                first.operator,
                first.template or "",
                first.model or "",
                outcomes if record else (),
                "" if record else first.outcome,
                record["prompt_tokens"] if record else 0,
                record["completion_tokens"] if record else 0,
                record["cost_usd"] if record else 0.0,
            )
        )
    return calls


def compare_prompts(
    templates: tuple[Path, Path], runs: Sequence[Path], *, operator: str | None, pairs: int, quiet: bool
) -> dict[str, Any]:
    """Asks both templates over the same parents, heads and feedback of a run, and says which earns more.

    What a call gains is how far its best program exceeds the best parent's held-out IoU on the head asked about; 0
    where it does not. Replies are kept in `comparisons.sqlite` of the run, so that a comparison is paid for once.

    Raises:
        UserError: for more than one run, a run without LLM models, templates that cannot be filled in, a spent budget.
    """
    if len(runs) != 1:
        raise UserError("prompts --compare works on one run")
    name = operator or templates[0].stem.split(".")[0]
    if name not in LLM_OPERATORS or name == "repair":
        known = [key for key in LLM_OPERATORS if key != "repair"]
        raise UserError(f"prompts --compare: --operator must be one of {', '.join(known)}{nearest(name, known)}")
    bench = _Bench.open(RunDir(runs[0]), name, templates)
    with RunLock(bench.run_dir):
        outcomes = bench.ask(pairs)
    verdict = compare(outcomes)
    names = (str(templates[0]), str(templates[1]))
    sentence = verdict.sentence(*names)
    if not quiet:
        Console().print(escape(sentence), highlight=False)
    return {"templates": names, "operator": name, "sentence": sentence} | verdict.as_dict()


@dataclass(frozen=True)
class _Bench:
    """A run on which two templates of one operator are tried."""

    run_dir: RunDir
    operator: str
    sources: tuple[str, str]
    model: LlmModel

    @classmethod
    def open(cls, run_dir: RunDir, operator: str, templates: tuple[Path, Path]) -> _Bench:
        config = run_dir.load_config()
        if not config.llm.models:
            raise UserError(f"{run_dir.path}: its configuration names no llm.models to ask")
        sources = []
        for path in templates:
            try:
                sources.append(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"prompts --compare: cannot read {path}: {error}") from None
        return cls(run_dir, operator, (sources[0], sources[1]), config.llm.models[0])

    def ask(self, pairs: int) -> list[tuple[BenchCall, BenchCall]]:
        """Both templates' calls, pair by pair."""
        config = self.run_dir.load_config()
        console = error_console()
        console.print(confinement(config), highlight=False)
        attention, spec = captured(config, console)
        store = self.run_dir.open_store()
        try:
            requests = self._requests(store, config, attention.labels, pairs)
        finally:
            store.close()
        pool = Pool(config.parallel.workers, config.parallel.backend)
        answers = pool.run([(propose_chunk, (spec, [(self.operator, request)])) for request in requests])
        values = [answer for (answer,) in answers]
        for value in values:
            if isinstance(value, OperatorFailed):
                raise UserError(f"prompts --compare: {value.message}")
        both = [self._templates(source, config.llm.prompts) for source in self.sources]
        messages = [[each.render(self.operator, value) for value in values] for each in both]
        replies = self._replies(messages, config)
        sources = list(dict.fromkeys(s for side in replies for reply in side for s in reply.sources))
        programs = [Program.parse(source) for source in sources]
        with console.status(f"evaluating {len(programs)} programs"):
            found = dict(zip(sources, pool.evaluate(spec, programs, "held_out"), strict=True))
        calls = [
            [
                reply.bench_call(self.operator, self.model.model, request, found, template.hash(self.operator))
                for reply, request in zip(side, requests, strict=True)
            ]
            for side, template in zip(replies, both, strict=True)
        ]
        return list(zip(*calls, strict=True))

    def _templates(self, source: str, own: Path | None) -> Templates:
        """The run's templates with one of them replaced."""
        with tempfile.TemporaryDirectory(prefix="headscribe-") as folder:
            if own is not None:
                shutil.copytree(own, folder, dirs_exist_ok=True)
            (Path(folder) / f"{self.operator}.md").write_text(source, encoding="utf-8")
            templates = Templates(Path(folder))
        templates.check(self.operator, examples(self.operator))
        return templates

    def _requests(self, store: Store, config: Any, labels: Sequence[str], pairs: int) -> list[Request]:
        """The same parents and heads for both templates: elites of the run's grid, drawn by its seed."""
        state = SearchState(config, len(labels))
        for record in store.all_programs():
            state.enter([record])
        rng = np.random.default_rng((config.seed, 0xC0))
        wanted = get_operator(self.operator).n_parents
        requests = []
        for pair in range(pairs):
            head = pair % len(labels)
            elites = state.grid.sample_elites(head, wanted, rng) if wanted else []
            records = store.programs(number for number, _, _ in elites)
            parents = tuple(Parent(records[number].program(), iou, cell) for number, iou, cell in elites)
            requests.append(Request(head, labels[head], parents, (config.seed, 0xC0, pair)))
        return requests

    def _replies(self, messages: list[list[list[Message]]], config: Any) -> list[list[_Reply]]:
        path = self.run_dir.file(COMPARISONS)
        store = Store(path, create=True)
        client = Client(store, config.llm.budget, max_in_flight=config.llm.max_in_flight, retries=config.llm.retries)
        try:
            # Both templates of a pair are asked with the same sample number: two equal prompts get one reply.
            jobs = [(side, pair) for pair in range(len(messages[0])) for side in range(2)]
            with ThreadPoolExecutor(config.llm.max_in_flight) as threads, progress_bar(error_console()) as report:
                futures = [threads.submit(self._reply, client, messages[side][pair], pair) for side, pair in jobs]
                for done, future in enumerate(futures, start=1):
                    future.result()
                    report("calls", done, len(futures))
            replies: list[list[_Reply]] = [[], []]
            for (side, _), future in zip(jobs, futures, strict=True):
                replies[side].append(future.result())
            return replies
        finally:
            client.close()
            store.close()

    def _reply(self, client: Client, messages: list[Message], pair: int) -> _Reply:
        try:
            reply = client.complete(
                self.model, messages, sample=pair, purpose={"operator": self.operator, "pair": pair}
            )
        except (BudgetSpent, EndpointDown) as error:
            raise UserError(f"prompts --compare: {error}; what was answered is kept, run it again to go on") from None
        except CallFailed as failed:
            return _Reply((), (), failed.kind, 0, 0, 0.0)
        parts = read(reply.text, reply.finish)
        sources = tuple(part.source for part in parts if not isinstance(part, Failure))
        failures = tuple(part.kind for part in parts if isinstance(part, Failure))
        return _Reply(sources, failures, "", reply.prompt_tokens, reply.completion_tokens, reply.cost_usd)


@dataclass(frozen=True)
class _Reply:
    """Programs and failures of one reply, and what it cost."""

    sources: tuple[str, ...]
    failures: tuple[str, ...]
    failure: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float

    def bench_call(
        self, operator: str, model: str, request: Request, found: Mapping[str, Any], template: str
    ) -> BenchCall:
        """The call with what its programs gain over the best parent on the head asked about."""
        before = max((parent.iou for parent in request.parents), default=0.0)
        outcomes = [CandidateOutcome(kind) for kind in self.failures]
        best = 0.0
        for source in self.sources:
            evaluation = found[source]
            iou = float(evaluation.scores[request.head].mean()) if evaluation.ok else 0.0
            # The best program is the call's gain: several weak ones do not add up to a good one.
            gain, best = max(0.0, iou - before - best), max(best, iou - before)
            outcomes.append(CandidateOutcome(evaluation.kind, gain))
        tokens = self.prompt_tokens, self.completion_tokens
        return BenchCall(operator, template, model, tuple(outcomes), self.failure, *tokens, self.cost_usd)


def _print_rows(rows: list[dict[str, Any]]) -> None:
    table = Table(title="95 % intervals in brackets", title_justify="left")
    for name in ("prompt", "model", "calls", "valid", "improved", "gain a call", "per 1k tokens", "per USD"):
        table.add_column(name, justify="left" if name in ("prompt", "model") else "right")
    for row in rows:
        label = f"{row['prompt'] or row['operator']} {row['template'][:6]}"
        numbers = [_share(row["valid_share"]), _share(row["improved_share"]), _interval(row["mean_gain"])]
        numbers += [_interval(row["gain_per_1000_tokens"]), _interval(row["gain_per_usd"])]
        table.add_row(escape(label), escape(row["model"]), str(row["calls"]), *numbers)
    console = Console()
    console.print(table)
    for row in rows:
        if row["errors"]:
            errors = ", ".join(f"{kind} {count}" for kind, count in row["errors"].items())
            console.print(
                escape(f"{row['prompt'] or row['operator']} {row['template'][:6]}: {errors}"), highlight=False
            )
    if not rows:
        console.print("no LLM calls in these runs")


def _share(interval: dict[str, float] | None) -> str:
    return "-" if interval is None else f"{interval['value']:.0%} [{interval['low']:.0%}, {interval['high']:.0%}]"


def _interval(interval: dict[str, float] | None) -> str:
    return "-" if interval is None else f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
