"""What a campaign would cost in calls, dollars, time and disk, measured on a few of its texts; nothing is started."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolve.config import Config
from evolve.config.llm import LlmModel, Price
from evolve.corpus import read_splits
from evolve.disk import attention_bytes, database_bytes
from evolve.listeners import Listener
from evolve.running import llm_operators
from evolve.session import attention_cache, cores_of_workers, worker_spec
from evolve.store import Store
from fitness.errors import UserError
from fitness.failures import FailureKind
from fitness.heads import Head
from fitness.models.attention import Attention
from fitness.models.capture import capture
from fitness.models.source import ModelSource
from fitness.posix import resource
from fitness.replacement.studies.settings import Settings as StudySettings
from fitness.scoring.baselines import baselines
from fitness.scoring.worker import Worker
from fitness.text.corpus import Splits
from operators.llm.client.client import Client
from operators.llm.client.failures import CallFailed
from operators.llm.client.settings import check_models
from operators.llm.prompt_check import check_prompts
from operators.llm.replies import CUT_OFF
from operators.llm.templates import Templates
from operators.protocol import Failure, Operator, Parent, PromptOperator, Request
from operators.registry import get_operator

# Texts of each split that costs are measured on; costs grow in proportion to the number of texts.
MEASURED_TEXTS = 3
MEASURED_HEADS = 4
CHARACTERS_PER_TOKEN = 4.0
REPLY_TOKENS = 400


@dataclass(frozen=True)
class Endpoint:
    """An LLM endpoint that was tried with one tiny call.

    Attributes:
        model: the model asked.
        answered: whether it answered.
        cost_usd: what the call cost.
    """

    model: str
    answered: bool
    cost_usd: float


@dataclass(frozen=True)
class LlmEstimate:
    """What language models would be asked.

    Attributes:
        calls: requests.
        prompt_tokens: tokens of prompts.
        completion_tokens: tokens of replies.
        cost_usd: dollars.
        endpoints: those tried.
        unpriced: models of services of which no price is known, so that their dollars are not counted.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    endpoints: tuple[Endpoint, ...] = ()
    unpriced: tuple[str, ...] = ()


@dataclass(frozen=True)
class CostEstimate:
    """What a campaign would cost; all but `heads` are estimates.

    Attributes:
        model: the model.
        heads: its heads.
        programs: programs evaluated.
        seconds: wall time.
        capture_seconds: the part of it that capturing attention takes.
        memory_bytes: memory at the most while attention is captured, without that of a GPU.
        disk_bytes: attention and database.
        replace_seconds: wall time of `headscribe replace` on the finished run.
        llm: what language models would be asked.
    """

    model: str
    heads: int
    programs: int
    seconds: float
    capture_seconds: float
    memory_bytes: int
    disk_bytes: int
    replace_seconds: float
    llm: LlmEstimate

    def as_json(self) -> dict[str, Any]:
        """What `check --json` prints."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """What a few texts cost.

    Attributes:
        heads: heads of the model.
        causal: whether it is causal.
        layers: layers that they are in.
        attention_bytes: all texts' captured attention, estimated from their characters.
        load_seconds: until the model was loaded.
        capture_seconds: of one text.
        memory_bytes: of the process at the most, until a few texts were captured.
        evaluation_seconds: of one program on one held-out text.
        slot_seconds: operator -> of one slot.
        prompt_tokens: LLM operator -> tokens of its prompt.
    """

    heads: int
    causal: bool
    layers: int
    attention_bytes: int
    load_seconds: float
    capture_seconds: float
    memory_bytes: int
    evaluation_seconds: float
    slot_seconds: dict[str, float]
    prompt_tokens: dict[str, float]


def estimate_costs(config: Config, listener: Listener | None = None) -> CostEstimate:
    """Validates all that a configuration names, and estimates what its campaign would cost.

    Args:
        config: what is asked.
        listener: told how measuring goes.

    Raises:
        UserError: for anything that would keep the campaign from running.
    """
    cores = cores_of_workers(config, listener)
    model = config.target()
    splits = read_splits(config, model, attention_cache(config))
    if listener is not None:
        listener.on_texts(splits, config.max_tokens)
    asked = llm_operators(config)
    check_models(config.llm.models)
    templates = check_prompts(config.llm.prompts, asked, config.llm.leave_out) if asked else None
    with tempfile.TemporaryDirectory(prefix="headscribe-check-") as folder:
        endpoints = tuple(_try_endpoint(entry, config, Path(folder)) for entry in config.llm.models) if asked else ()
        measured = _measure(config, model, splits, Path(folder), templates, listener)
    return _estimate(config, splits, measured, endpoints, cores)


def _try_endpoint(model: LlmModel, config: Config, folder: Path) -> Endpoint:
    store = Store(folder / "check.sqlite", create=True)
    client = Client(store, config.llm.budget, max_in_flight=1, retries=0)
    try:
        reply = client.check(model)
    except CallFailed as failed:
        raise UserError(f"llm: {model.model}: {failed}") from None
    finally:
        client.close()
        store.close()
    if reply.finish in CUT_OFF and not reply.text.strip():
        thought = f", {reply.usage.reasoning_tokens} of them thought" if reply.usage.reasoning_tokens else ""
        raise UserError(
            f"llm: {model.model} said nothing in {reply.usage.completion_tokens} tokens{thought}; allow a larger "
            f"max_tokens than {model.max_tokens} (llm.models)"
        )
    return Endpoint(model.model, True, reply.cost_usd)


def _measure(
    config: Config,
    model: ModelSource,
    splits: Splits,
    folder: Path,
    templates: Templates | None,
    listener: Listener | None,
) -> Measured:
    few = Splits(splits.fit[:MEASURED_TEXTS], splits.held_out[:MEASURED_TEXTS], splits.test[:1])
    marks = [time.monotonic()]

    def progress(done: int, total: int) -> None:
        marks.append(time.monotonic())
        if listener is not None:
            listener.on_stage("capturing a few texts", done, total)

    attention = capture(model, few.all, max_tokens=config.max_tokens, cache=folder, progress=progress)
    memory = peak_memory()
    if listener is not None:
        for note in attention.notes:
            listener.on_note(note)
    worker = Worker(worker_spec(config, attention, few))
    try:
        evaluation = _time_evaluation(worker) / len(few.held_out)
        slots, prompts = {}, {}
        for done, name in enumerate(config.operators):
            if listener is not None:
                listener.on_stage("trying operators", done, len(config.operators))
            operator, requests = get_operator(name), _some_requests(name, attention)
            if isinstance(operator, PromptOperator):
                assert templates is not None
                prompts[name] = _prompt_tokens(name, operator, requests[0], worker, templates)
            else:
                slots[name] = _time_slot(operator, requests, worker)
    finally:
        worker.close()
    return Measured(
        heads=len(attention.labels),
        causal=attention.causal,
        layers=len({Head.parse(label).layer for label in attention.labels}),
        attention_bytes=attention_bytes(splits.all, attention, config.max_tokens),
        load_seconds=marks[2] - marks[0],
        capture_seconds=(marks[-1] - marks[2]) / len(few.all),
        memory_bytes=memory,
        evaluation_seconds=evaluation,
        slot_seconds=slots,
        prompt_tokens=prompts,
    )


def peak_memory() -> int:
    """Bytes of memory that this process took at the most so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _time_evaluation(worker: Worker) -> float:
    """Seconds of one program on the held-out texts."""
    simple = list(baselines().values())
    worker.evaluate(simple[0], "held_out")  # the first one starts the server
    began = time.monotonic()
    for program in simple:
        worker.evaluate(program, "held_out")
    return (time.monotonic() - began) / len(simple)


def _some_requests(name: str, attention: Attention) -> list[Request]:
    """What an operator could be asked, for a few heads."""
    parents = tuple(Parent(program, 0.5, cell) for cell, program in enumerate(baselines().values()))
    chosen = parents[: get_operator(name).n_parents]
    if name == "repair":
        chosen = (Parent(parents[0].program, float("nan"), -1, Failure(FailureKind.EXCEPTION, "NameError", 2)),)
    heads = [int(head) for head in np.linspace(0, len(attention.labels) - 1, MEASURED_HEADS)]
    return [Request(head, attention.labels[head], chosen, (0, head)) for head in heads]


def _time_slot(operator: Operator, requests: Sequence[Request], worker: Worker) -> float:
    """Seconds of one slot of an offline operator on the few fit texts."""
    view = worker.view()
    operator.propose(requests[0], view)  # the first one sets up what all others share
    began = time.monotonic()
    for request in requests:
        operator.propose(request, view)
    return (time.monotonic() - began) / len(requests)


def _prompt_tokens(
    name: str, operator: PromptOperator, request: Request, worker: Worker, templates: Templates
) -> float:
    messages = templates.render(name, operator.prompt(request, worker.view()))
    return sum(len(message["content"]) for message in messages) / CHARACTERS_PER_TOKEN


def _estimate(
    config: Config, splits: Splits, measured: Measured, endpoints: tuple[Endpoint, ...], cores: int
) -> CostEstimate:
    total = sum(config.operators.values())
    shares = {name: share / total for name, share in config.operators.items()}
    program = _program_seconds(splits, measured, shares)
    capture_seconds = measured.load_seconds + measured.capture_seconds * len(splits.all)
    programs = config.stop.max_programs
    if programs is None:
        programs = int((config.stop.max_seconds or 3600.0) * cores / program)
    llm = _estimate_llm(config, measured, shares, programs, endpoints)
    llm_seconds = llm.completion_tokens / _speed(config) / config.llm.max_in_flight if llm.calls else 0.0
    seconds = capture_seconds + max(programs * program / cores, llm_seconds)
    if config.stop.max_seconds:
        seconds = min(seconds, capture_seconds + config.stop.max_seconds)
    passes = StudySettings().passes(heads=measured.heads, layers=measured.layers, test_texts=len(splits.test))
    database = database_bytes(
        measured.heads,
        programs,
        max_tokens=config.max_tokens,
        domains=len(config.texts),
        causal=measured.causal,
    )
    calls_bytes = int(CHARACTERS_PER_TOKEN * (llm.prompt_tokens + llm.completion_tokens))
    return CostEstimate(
        model=config.model,
        heads=measured.heads,
        programs=programs,
        seconds=round(seconds, 1),
        capture_seconds=round(capture_seconds, 1),
        memory_bytes=measured.memory_bytes,
        disk_bytes=measured.attention_bytes + database + calls_bytes,
        replace_seconds=round(measured.load_seconds + passes * measured.capture_seconds * len(splits.test), 1),
        llm=llm,
    )


def _program_seconds(splits: Splits, measured: Measured, shares: dict[str, float]) -> float:
    """CPU seconds of proposing and evaluating one program."""
    # Operators work on the fit split; the few texts measured stand for all of them.
    scale = len(splits.fit) / min(MEASURED_TEXTS, len(splits.fit))
    offline = sum(shares[name] * seconds * scale for name, seconds in measured.slot_seconds.items())
    return measured.evaluation_seconds * len(splits.held_out) + offline


def _estimate_llm(
    config: Config, measured: Measured, shares: dict[str, float], programs: int, endpoints: tuple[Endpoint, ...]
) -> LlmEstimate:
    wanted = {name: programs * shares[name] for name in measured.prompt_tokens}
    calls = sum(wanted.values())
    limit = config.llm.budget.calls
    factor = min(1.0, limit / calls) if calls and limit is not None else 1.0
    prompt = factor * sum(wanted[name] * tokens for name, tokens in measured.prompt_tokens.items())
    longest = min((model.max_tokens for model in config.llm.models), default=0)
    reply = factor * calls * min(REPLY_TOKENS, longest)
    prices = [model.price_per_million or Price() for model in config.llm.models]
    usd = float(np.mean([prompt * price.input + reply * price.output for price in prices])) / 1e6 if prices else 0.0
    if config.llm.budget.usd is not None:
        usd = min(usd, config.llm.budget.usd)
    unpriced = tuple(model.model for model in config.llm.unpriced)
    return LlmEstimate(round(calls * factor), round(prompt), round(reply), round(usd, 4), endpoints, unpriced)


def _speed(config: Config) -> float:
    return float(np.mean([model.tokens_per_second for model in config.llm.models]))
