"""`headscribe check`: would this campaign run, and what would it cost? Nothing of it is started."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evolve.commands.run import confinement, worker_spec
from evolve.config import Config, LlmModel, load_config, model_path
from evolve.store import Store
from evolve.views.console import duration, error_console
from fitness.errors import UserError
from fitness.failures import FailureKind
from fitness.models.capture import Attention, capture
from fitness.scoring.baselines import baselines
from fitness.scoring.packing import packed_size
from fitness.scoring.pool import Pool
from fitness.scoring.worker import Worker
from fitness.text.corpus import read_texts, split_texts
from operators.llm.client.client import Client
from operators.llm.client.failures import CallFailed
from operators.llm.client.settings import check_models
from operators.llm.prompt_check import check_prompts
from operators.llm.templates import Templates
from operators.protocol import Failure, Parent, PromptOperator, Request
from operators.registry import LLM_OPERATORS, get_operator

# Texts of each split that costs are measured on; costs grow in proportion to the number of texts.
MEASURED_TEXTS = 3
MEASURED_HEADS = 4
CHARACTERS_A_TOKEN = 4.0
REPLY_TOKENS = 400


def check_config(name: str, overrides: list[str], *, quiet: bool) -> dict[str, Any]:
    """Validates a configuration with all that it names, and estimates calls, cost, time and disk.

    Returns:
        `heads`, `programs`, `seconds`, `capture_seconds`, `disk_bytes`, `llm` {`calls`, `prompt_tokens`,
        `completion_tokens`, `cost_usd`, `endpoints`}, all but `heads` estimates.

    Raises:
        UserError: for anything that would keep the campaign from running.
    """
    config = load_config(name, overrides)
    console = error_console()
    console.print(confinement(config), highlight=False)
    Pool(config.parallel.workers, config.parallel.backend)
    sizes = config.splits
    splits = split_texts(
        read_texts(config.texts), fit=sizes.fit, held_out=sizes.held_out, test=sizes.test, seed=config.seed
    )
    asked = [key for key in config.operators if key in LLM_OPERATORS and config.operators[key] > 0]
    check_models(config.llm.models)
    templates = check_prompts(config.llm.prompts, asked) if asked else None
    few = [*splits.fit[:MEASURED_TEXTS], *splits.held_out[:MEASURED_TEXTS], *splits.test[:1]]
    with tempfile.TemporaryDirectory(prefix="headscribe-check-") as folder:
        endpoints = [_try_endpoint(model, config, Path(folder)) for model in config.llm.models] if asked else []
        with console.status("measuring on a few texts"):
            measured = _measure(config, few, len(few) - 1, Path(folder), templates)
    result = _estimate(config, measured, endpoints)
    if not quiet:
        _print(result, config)
    return result


@dataclass(frozen=True)
class Measured:
    """What a few texts cost.

    Attributes:
        heads: heads of the model.
        tokens: mean tokens of a text.
        text_bytes: mean bytes of one text's captured attention.
        load_seconds: until the model was loaded.
        capture_seconds: of one text.
        evaluation_seconds: of one program on one held-out text.
        slot_seconds: operator -> of one slot.
        prompt_tokens: LLM operator -> tokens of its prompt.
    """

    heads: int
    tokens: float
    text_bytes: float
    load_seconds: float
    capture_seconds: float
    evaluation_seconds: float
    slot_seconds: dict[str, float]
    prompt_tokens: dict[str, float]


def _measure(
    config: Config, strings: Sequence[str], fitted: int, folder: Path, templates: Templates | None
) -> Measured:
    marks = [time.monotonic()]
    attention = capture(
        model_path(config.model),
        strings,
        max_tokens=config.max_tokens,
        cache=folder,
        progress=lambda done, total: marks.append(time.monotonic()),
    )
    held_out = fitted // 2
    spec = worker_spec(config, attention, (fitted - held_out, held_out, 1))
    worker = Worker(spec)
    try:
        worker.evaluate(next(iter(baselines().values())), "held_out")  # the first one starts the server
        began = time.monotonic()
        simple = list(baselines().values())
        for program in simple:
            worker.evaluate(program, "held_out")
        evaluation = (time.monotonic() - began) / len(simple)
        slots, prompts = _measure_operators(config, worker, attention, templates)
    finally:
        worker.close()
    sizes = [packed_size(text.n, causal=attention.causal) for text in attention.texts]
    return Measured(
        len(attention.labels),
        float(np.mean([text.n for text in attention.texts])),
        2 * len(attention.labels) * float(np.mean(sizes)),
        marks[1] - marks[0],
        (marks[-1] - marks[1]) / max(1, len(marks) - 2),
        evaluation / held_out,
        slots,
        prompts,
    )


def _measure_operators(
    config: Config, worker: Worker, attention: Attention, templates: Templates | None
) -> tuple[dict[str, float], dict[str, float]]:
    view = worker.view()
    parents = tuple(Parent(program, 0.5, cell) for cell, program in enumerate(baselines().values()))
    slots: dict[str, float] = {}
    prompts: dict[str, float] = {}
    for name in config.operators:
        operator = get_operator(name)
        heads = [int(head) for head in np.linspace(0, len(attention.labels) - 1, MEASURED_HEADS)]
        chosen = parents[: operator.n_parents]
        if name == "repair":
            chosen = (Parent(parents[0].program, float("nan"), -1, Failure(FailureKind.EXCEPTION, "NameError", 2)),)
        requests = [Request(head, attention.labels[head], chosen, (0, head)) for head in heads]
        if isinstance(operator, PromptOperator):
            assert templates is not None
            messages = templates.render(name, operator.prompt(requests[0], view))
            prompts[name] = sum(len(message["content"]) for message in messages) / CHARACTERS_A_TOKEN
            continue
        operator.propose(requests[0], view)  # the first one sets up what all others share
        began = time.monotonic()
        for request in requests:
            operator.propose(request, view)
        slots[name] = (time.monotonic() - began) / len(requests)
    return slots, prompts


def _try_endpoint(model: LlmModel, config: Config, folder: Path) -> dict[str, Any]:
    store = Store(folder / "check.sqlite", create=True)
    client = Client(store, config.llm.budget, max_in_flight=1, retries=0)
    try:
        reply = client.check(model)
    except CallFailed as failed:
        raise UserError(f"llm: {model.model}: {failed}") from None
    finally:
        client.close()
        store.close()
    return {"model": model.model, "answered": True, "cost_usd": reply.cost_usd}


def _estimate(config: Config, measured: Measured, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    sizes, total = config.splits, sum(config.operators.values())
    shares = {name: share / total for name, share in config.operators.items()}
    # Operators work on the fit split; the few texts measured stand for all of them.
    scale = sizes.fit / MEASURED_TEXTS
    offline = sum(shares[name] * seconds * scale for name, seconds in measured.slot_seconds.items())
    program = measured.evaluation_seconds * sizes.held_out + offline
    cores = max(1, min(config.parallel.workers, os.cpu_count() or 1))
    capture_seconds = measured.load_seconds + measured.capture_seconds * (sizes.fit + sizes.held_out + sizes.test)
    programs = config.stop.max_programs
    if programs is None:
        programs = int((config.stop.max_seconds or 3600.0) * cores / program)
    llm = _estimate_llm(config, measured, shares, programs)
    llm_seconds = llm["completion_tokens"] / _speed(config) / config.llm.max_in_flight if llm["calls"] else 0.0
    seconds = capture_seconds + max(programs * program / cores, llm_seconds)
    if config.stop.max_seconds:
        seconds = min(seconds, capture_seconds + config.stop.max_seconds)
    row = measured.heads * 4 * (sizes.held_out + 1) + 2000
    disk = measured.text_bytes * (sizes.fit + sizes.held_out + sizes.test) + programs * row
    return {
        "heads": measured.heads,
        "programs": programs,
        "seconds": round(seconds, 1),
        "capture_seconds": round(capture_seconds, 1),
        "disk_bytes": int(disk),
        "llm": llm | {"endpoints": endpoints},
    }


def _estimate_llm(config: Config, measured: Measured, shares: dict[str, float], programs: int) -> dict[str, Any]:
    wanted = {name: programs * shares[name] for name in measured.prompt_tokens}
    calls = sum(wanted.values())
    limit = config.llm.budget.calls
    factor = min(1.0, limit / calls) if calls and limit is not None else 1.0
    prompt = factor * sum(wanted[name] * tokens for name, tokens in measured.prompt_tokens.items())
    longest = min((model.max_tokens for model in config.llm.models), default=0)
    reply = factor * calls * min(REPLY_TOKENS, longest)
    prices = [model.price_per_million for model in config.llm.models]
    usd = float(np.mean([prompt * price.input + reply * price.output for price in prices])) / 1e6 if prices else 0.0
    if config.llm.budget.usd is not None:
        usd = min(usd, config.llm.budget.usd)
    tokens = {"prompt_tokens": round(prompt), "completion_tokens": round(reply)}
    return {"calls": round(calls * factor)} | tokens | {"cost_usd": round(usd, 4)}


def _speed(config: Config) -> float:
    return float(np.mean([model.tokens_per_second for model in config.llm.models]))


def _print(result: dict[str, Any], config: Config) -> None:
    table = Table(title="estimates; nothing was started", title_justify="left", show_header=False)
    table.add_row("model", f"{escape(config.model)}, {result['heads']} heads")
    table.add_row("programs", str(result["programs"]))
    table.add_row("time", f"{duration(result['seconds'])}, of which capture {duration(result['capture_seconds'])}")
    table.add_row("disk", f"{result['disk_bytes'] / 1e6:.0f} MB")
    llm = result["llm"]
    if llm["calls"]:
        table.add_row("LLM calls", str(llm["calls"]))
        table.add_row("LLM tokens", f"{llm['prompt_tokens']} in, {llm['completion_tokens']} out")
        table.add_row("LLM cost", f"{llm['cost_usd']:.2f} USD")
    for endpoint in llm["endpoints"]:
        table.add_row("endpoint", f"{escape(endpoint['model'])} answers")
    Console().print(table)
