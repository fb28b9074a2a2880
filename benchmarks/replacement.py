"""What replacement costs; run as `python -m benchmarks.replacement [--repeats N] [--threads N]`.

A randomly initialised model of the size of GPT-2 small reads batches of 4 texts of 256 tokens. Programs have run before
the clock starts, as they do in practice from the second pass over a text on; what they cost is printed apart. The clock
counts CPU time of this process, so that other work on the machine does not blur the ratios.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from fitness.models.hooks import attention_route
from fitness.models.loading import Reader
from fitness.replacement import replacing
from fitness.replacement.predictions import SandboxPredictions
from fitness.sandbox import Sandbox
from fitness.scoring.baselines import baselines
from fitness.text.view import Text

BATCH, LENGTH = 4, 256


class _NumberReader(Reader):
    """Texts whose tokens are their ids: the model has no tokenizer."""

    def __init__(self) -> None:
        pass

    def text(self, ids):
        return Text([f" {index}" for index in ids], ids)


def measure(run: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each, in turns, so that a busy machine slows all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in run}
    for turn in range(repeats + 1):
        for name, call in run.items():
            began = time.process_time()
            call()
            if turn:
                seconds[name].append(time.process_time() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    ids = torch.randint(0, 50000, (BATCH, LENGTH))
    eager = GPT2LMHeadModel(GPT2Config(attn_implementation="eager")).eval()
    sdpa = GPT2LMHeadModel(GPT2Config(attn_implementation="sdpa")).eval()
    sdpa.load_state_dict(eager.state_dict())
    programs = list(baselines().values())
    heads = [(layer, head) for layer in range(12) for head in range(12)]
    every = {head: programs[sum(head) % len(programs)] for head in heads}
    quarter = {head: every[head] for head in heads[::4]}
    source = SandboxPredictions(lambda: Sandbox([]), causal=True)
    reader = _NumberReader()

    def plain(model: GPT2LMHeadModel) -> Callable[[], None]:
        return lambda: model(ids)

    def within(model: GPT2LMHeadModel, assignment: dict) -> Callable[[], None]:
        def call() -> None:
            with replacing(model, assignment, reader, source):
                model(ids)

        return call

    def idle(model: GPT2LMHeadModel) -> Callable[[], None]:
        def call() -> None:
            with attention_route(model, replace=lambda *_: None):
                model(ids)

        return call

    with torch.no_grad(), source:
        began = time.perf_counter()
        within(eager, every)()
        first = time.perf_counter() - began
        runs = {
            "eager": plain(eager),
            "sdpa": plain(sdpa),
            "nothing replaced, eager": within(eager, {}),
            "nothing replaced, sdpa": within(sdpa, {}),
            "route open, no head replaced, eager": idle(eager),
            "route open, no head replaced, sdpa": idle(sdpa),
            "25 % replaced, eager": within(eager, quarter),
            "25 % replaced, sdpa": within(sdpa, quarter),
            "100 % replaced": within(eager, every),
        }
        seconds = measure(runs, arguments.repeats)
    print(f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}, batch {BATCH} x {LENGTH}")
    print(f"{'':38}{'median':>10}{'/ eager':>10}{'/ sdpa':>10}   (ratios: median over turns)")
    for name, values in seconds.items():
        ratios = [
            statistics.median(a / b for a, b in zip(values, seconds[base], strict=True)) for base in ("eager", "sdpa")
        ]
        print(f"{name:38}{statistics.median(values) * 1000:>7.0f} ms{ratios[0]:>10.3f}{ratios[1]:>10.3f}")
    print(f"first pass, {len(programs)} programs run on {BATCH} texts each: {first * 1000:.0f} ms")


if __name__ == "__main__":
    main()
