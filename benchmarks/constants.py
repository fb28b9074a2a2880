"""Fitting numbers up the gradient beside line searches: `python -m benchmarks.constants`.

Programs of two to eight random patterns, added and multiplied, start from random numbers; each is fitted to one head
both ways. Prints CPU a fit, the fit IoU reached, and how often either is ahead.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from fitness.models.capture import capture
from fitness.sandbox import Sandbox
from fitness.scoring.fit_view import FitView
from fitness.text.sources import read_texts
from operators.shared import fit_numbers
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.patterns import dictionary_of
from operators.shared.syntax_trees import append_line, program_tree, rounded, step_source

LINE_SEARCHES = (30, 120)


def view_of(model: str, texts: str, count: int, max_tokens: int, cache: str) -> tuple[FitView, Sandbox]:
    """The fit split of a model's attention on the first texts of a corpus."""
    attention = capture(model, read_texts(texts)[:count], max_tokens=max_tokens, cache=Path(cache))
    blocks = [np.asarray(attention.block(index), dtype=np.float32) for index in range(count)]
    sandbox = Sandbox(attention.texts, mode="degraded")
    view = FitView(
        attention.texts, blocks, attention.labels, causal=attention.causal, sandbox=sandbox, indices=range(count)
    )
    return view, sandbox


def random_program(scorer: FitScorer, rng: np.random.Generator) -> ast.Module:
    """A sum of patterns, some of which multiply what stands before them."""
    dictionary = dictionary_of(scorer)
    tree = program_tree(dictionary.pair_sources[int(rng.integers(len(dictionary.pair_sources)))])
    for _ in range(int(rng.integers(1, 8))):
        times = bool(rng.random() < 0.5)
        sources = dictionary.token_sources if times else dictionary.pair_sources
        number = rounded(float(np.exp(rng.normal(0, 1))))
        tree = append_line(tree, step_source(sources[int(rng.integers(len(sources)))], number, times=times))
    return tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="storyteller-gpt2")
    parser.add_argument("--texts", default="stories")
    parser.add_argument("--programs", type=int, default=40)
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory(prefix="headscribe-constants-") as cache:
        view, sandbox = view_of(arguments.model, arguments.texts, 24, 64, cache)
        with sandbox:
            compare(fit_scorer(view), len(view.labels), arguments.programs)


def compare(scorer: FitScorer, heads: int, programs: int) -> None:
    """Fits every program each way and prints medians."""
    rng = np.random.default_rng(0)
    ways = {f"line searches, {limit} evaluations": limit for limit in LINE_SEARCHES} | {"gradient": None}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    ious: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(programs):
        tree, head = random_program(scorer, rng), number % heads
        if scorer.plain_iou(tree, head) < 0:
            continue
        for way, limit in ways.items():
            began = time.process_time()
            _, iou = (
                fit_numbers.fit_numbers(tree, head, scorer)
                if limit is None
                else fit_numbers.fit_by_line_searches(tree, head, scorer, limit)
            )
            cpu[way].append(time.process_time() - began)
            ious[way].append(iou)
    gained = np.array(ious["gradient"])
    for way in ways:
        ratio = statistics.median(np.array(cpu[way]) / np.array(cpu["gradient"]))
        behind = int((gained > np.array(ious[way]) + 0.001).sum()), int((gained < np.array(ious[way]) - 0.001).sum())
        print(
            f"{way}: {1000 * statistics.median(cpu[way]):.0f} ms CPU a fit ({ratio:.1f} times the gradient's), "
            f"fit IoU {np.mean(ious[way]):.4f}; gradient ahead in {behind[0]} of {len(gained)}, behind in {behind[1]}"
        )


if __name__ == "__main__":
    main()
