"""What searching on several kinds of text is worth: `python -m benchmarks.domains HOME --on CONFIG:SPLIT ...`.

The operator `residual` alone on every ninth head, some slots per head; every program is scored on all of them, and each
head keeps the best one by held-out IoU. Prints its IoU on other texts beside tables fitted where the search was, the
kind of table chosen on held-out texts as well. Both are the search's own choice: nothing is chosen on what is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.machine import describe
from evolve.config import load_config
from evolve.session import captured
from fitness.models.attention import Attention
from fitness.program import Program
from fitness.sandbox import Sandbox
from fitness.scoring.fit_view import FitView
from fitness.scoring.references import Reference, choose, fit_tables
from fitness.scoring.threads import one_thread_for_good
from fitness.text.view import Text
from operators.protocol import Parent, Request
from operators.residual import Residual
from operators.shared.fit_sample import FitSample
from operators.shared.syntax_trees import tree_of
from operators.shared.tree_evaluation import Evaluator

RESAMPLES = 1000


class Part:
    """Some heads' attention on the texts of one split or domain, as `fitness.scoring.references.Captured`."""

    def __init__(self, attention: Attention, texts: Sequence[int], heads: Sequence[int]) -> None:
        self.causal = attention.causal
        self.labels = tuple(attention.labels[head] for head in heads)
        self.texts: list[Text] = [attention.texts[text] for text in texts]
        self.blocks = [np.asarray(attention.block(text), dtype=np.float32)[heads] for text in texts]
        self._sample = FitSample(self.texts, self._attention, causal=self.causal, max_elements=1 << 40)
        self._evaluator = Evaluator(self._sample)

    def block(self, text: int) -> np.ndarray:
        """(heads, packed) attention on one text."""
        return self.blocks[text]

    def sums(self, text: int) -> np.ndarray:
        """(heads,) sums of the block."""
        return self.blocks[text].sum(axis=1, dtype=np.float64)

    def scores(self, program: Program) -> np.ndarray:
        """(heads, texts) IoU of a program."""
        prediction = self._sample.predict(self._evaluator.weights(tree_of(program)))
        return np.stack([self._sample.iou_texts(prediction, head) for head in range(len(self.labels))])

    def _attention(self, head: int) -> np.ndarray:
        return np.concatenate([block[head] for block in self.blocks])


def searched(fit: Part, held_out: Part, domains: int, slots: int, seed: int) -> tuple[list[Program], np.ndarray]:
    """Programs of so many slots per head, and their (programs, heads) held-out IoU; texts take turns of domains."""
    programs: list[Program] = []
    ious: list[np.ndarray] = []
    with Sandbox(fit.texts, mode="degraded") as sandbox:
        indices = range(len(fit.texts))
        view = FitView(
            fit.texts,
            fit.blocks,
            fit.labels,
            causal=fit.causal,
            sandbox=sandbox,
            indices=indices,
            domains=domains,
        )
        elites: list[tuple[Parent, ...]] = [()] * len(fit.labels)
        for slot in range(slots):
            for head, label in enumerate(fit.labels):
                request = Request(head, label, elites[head], (seed, head, slot), ())
                for found in Residual().propose(request, view):
                    programs.append(found.program)
                    ious.append(held_out.scores(found.program).mean(axis=1))
            best = np.argsort(-np.array(ious), axis=0, kind="stable")[: Residual.n_parents]
            elites = [
                tuple(Parent(programs[place], float(ious[place][head])) for place in best[:, head])
                for head in range(len(fit.labels))
            ]
    return programs, np.array(ious)


def domains_of(name: str, heads: Sequence[int]) -> Iterator[tuple[str, Part]]:
    """The domains of a split, from `config.yaml:split`."""
    path, _, split = name.rpartition(":")
    attention, spec, _ = captured(load_config(path))
    begin = {"fit": 0, "held_out": spec.fit, "test": spec.fit + spec.held_out}[split]
    for place, domain in enumerate(spec.domains):
        texts = range(begin + place, begin + getattr(spec, split), len(spec.domains))
        yield domain, Part(attention, texts, heads)


def compare(part: Part, library: Sequence[Program], reference: Reference) -> str:
    """One row: library, tables, and the paired difference with a 95 % bootstrap over texts."""
    own = np.stack([part.scores(program)[head] for head, program in enumerate(library)])
    tables = reference.tables.score(part, range(len(part.texts)))
    other = np.stack([tables[kind][head] for head, kind in enumerate(reference.kinds)])
    gains = (own - other).mean(axis=0)
    drawn = np.random.default_rng(0).integers(0, len(gains), (RESAMPLES, len(gains)))
    low, high = np.percentile(gains[drawn].mean(axis=1), [2.5, 97.5])
    won = int((own.mean(axis=1) > other.mean(axis=1)).sum())
    return (
        f"{len(part.texts)} texts: library {own.mean():.4f}, tables {other.mean():.4f}, "
        f"gain {gains.mean():+.4f} [{low:+.4f}, {high:+.4f}], {won} of {len(own)} heads won"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", help="configuration whose fit and held-out texts are searched on")
    parser.add_argument("--on", action="append", default=[], help="config.yaml:split to read; repeatable")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--every", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe())
    one_thread_for_good()
    attention, spec, _ = captured(load_config(arguments.home))
    # Of models with as many heads per layer as this, another one of each layer.
    step = arguments.every
    heads = [begin + begin // step % step for begin in range(0, len(attention.labels) - step + 1, step)]
    fit = Part(attention, range(spec.fit), heads)
    held_out = Part(attention, range(spec.fit, spec.fit + spec.held_out), heads)
    began = time.process_time()
    programs, ious = searched(fit, held_out, len(spec.domains), arguments.slots, arguments.seed)
    cpu = time.process_time() - began
    library = [programs[place] for place in ious.argmax(axis=0)]
    tables = fit_tables(fit, range(len(fit.texts)))
    reference = choose(tables, tables.score(held_out, range(len(held_out.texts))))
    print(
        f"{', '.join(spec.domains)}: {len(fit.texts)} fit and {len(held_out.texts)} held-out texts, "
        f"{len(heads)} heads, {len(programs)} programs, {cpu:.1f} s of CPU; held-out IoU {ious.max(axis=0).mean():.4f}"
    )
    for name in arguments.on:
        for domain, part in domains_of(name, heads):
            print(f"{domain}, {compare(part, library, reference)}")


if __name__ == "__main__":
    main()
