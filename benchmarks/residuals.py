"""What the programs of a finished run miss: `python -m benchmarks.residuals RUN [--every 3] [--json]`.

Each head's best program by held-out IoU is multiplied by exp(c * pattern), for one candidate pattern after another; c
is fitted on the fit texts, and what it gains is read on the held-out texts. Candidates are fields that `Text` does not
have; beside them stand the best pattern that the regression's own dictionary has left, and three that no program could
write: what a table of positions, of classes of tokens, or of the spellings of keys adds, fitted on the fit texts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

import headscribe as hs
from benchmarks.candidate_fields import CANDIDATES
from benchmarks.machine import describe
from fitness.models.attention import Attention
from fitness.scoring.packing import pack
from fitness.scoring.threads import one_thread_for_good
from fitness.text.view import Text
from operators.shared.fit_sample import FitSample
from operators.shared.patterns import Dictionary
from operators.shared.syntax_trees import tree_of
from operators.shared.tree_evaluation import Evaluator, Unsupported

STRONGEST = 3.0
PRIOR = 2.0
WORTH = 0.005
DICTIONARY = "best left in the dictionary"
TABLES = ("(table of positions)", "(table of classes)", "(table of spellings)")


class Side:
    """One split of one run, flat.

    Args:
        attention: the run's attention.
        texts: indices of the split's texts.
        elements: about how many pairs of tokens to keep.
    """

    def __init__(self, attention: Attention, texts: Sequence[int], elements: int) -> None:
        self.texts: list[Text] = [attention.texts[text] for text in texts]
        self._blocks = [attention.block(text) for text in texts]
        self.sample = FitSample(self.texts, self._head, causal=attention.causal, max_elements=elements)
        self.evaluator = Evaluator(self.sample)

    def _head(self, head: int) -> np.ndarray:
        return np.concatenate([np.asarray(block[head], dtype=np.float32) for block in self._blocks])

    def values(self, candidate: Callable[[Text], np.ndarray]) -> np.ndarray:
        """(N,) float32 of a candidate; keys are (n,), queries (n, 1), pairs (n, n)."""
        full = [np.broadcast_to(np.asarray(candidate(text), dtype=np.float32), (text.n, text.n)) for text in self.texts]
        causal = not self.sample.square
        return np.concatenate([pack(matrix, causal=causal) for matrix in full])[self.sample.index]

    def iou(self, scores: np.ndarray, head: int) -> np.ndarray:
        """(texts,) IoU of exp(scores)."""
        return self.sample.iou_texts(self.sample.predict_scores(scores), head)


def log_ratio(fit: Side, prediction: np.ndarray, head: int, groups: np.ndarray, count: int) -> np.ndarray:
    """(count,) log of attention over prediction on each group, shrunk where there is little."""
    attended = np.bincount(groups, fit.sample.attention(head), minlength=count)
    predicted = np.bincount(groups, prediction, minlength=count)
    return np.asarray(np.log((attended + PRIOR) / (predicted + PRIOR)), dtype=np.float32)


def classes(side: Side) -> np.ndarray:
    """(tokens,) int: a token's class by the fields that are true of it."""
    names = (
        "is_punctuation",
        "is_newline",
        "is_function_word",
        "has_space",
        "is_capitalised",
        "is_number",
        "starts_word",
    )
    bits = np.stack([side.sample.token(name) for name in names])
    return np.asarray((bits * (1 << np.arange(len(names)))[:, None]).sum(axis=0))


def groups_of(fit: Side, held_out: Side) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Groups of pairs of tokens, on fit and held-out, for the three tables."""
    sides = (fit, held_out)
    longest = max(len(text) for side in sides for text in side.texts)
    begin = [np.concatenate([np.arange(len(text)) for text in side.texts]) for side in sides]
    cells = [at[side.sample.query] * longest + at[side.sample.key] for at, side in zip(begin, sides, strict=True)]
    kinds = [classes(side) for side in sides]
    pairs = [kind[side.sample.query] * 128 + kind[side.sample.key] for kind, side in zip(kinds, sides, strict=True)]
    known = {token: place for place, token in enumerate(dict.fromkeys(fit.sample.tokens), 1)}
    keys = [np.array([known.get(token, 0) for token in side.sample.tokens])[side.sample.key] for side in sides]
    found = zip(TABLES, (cells, pairs, keys), (longest**2, 128 * 128, len(known) + 1), strict=True)
    return {name: (on_fit, on_held_out, count) for name, (on_fit, on_held_out), count in found}


def fitted(fit: Side, base: np.ndarray, values: np.ndarray, head: int) -> tuple[float, float]:
    """The multiplier of the highest mean fit IoU, and that IoU."""
    spread = max(float(values.std()), 1e-3)

    def loss(c: float) -> float:
        return -float(fit.iou(base + np.float32(c / spread) * values, head).mean())

    found = minimize_scalar(
        loss, bounds=(-STRONGEST / 2, STRONGEST / 2), method="bounded", options={"xatol": 0.02, "maxiter": 14}
    )
    return float(found.x) / spread, -float(found.fun)


def embedded(run: hs.Run) -> dict[str, Callable[[Text], np.ndarray]]:
    """Candidates that ask the model's own input embeddings."""
    model, _ = run.load_model()
    vectors = model.get_input_embeddings().weight.detach().float().numpy()
    vectors = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.maximum(lengths, 1e-6)[:, None]
    return {
        "cosine of input embeddings": lambda text: (unit[text.ids] @ unit[text.ids].T) * (text.distance != 0),
        "cosine with the token before the key": lambda text: np.concatenate(
            [np.zeros((text.n, 1)), (unit[text.ids] @ unit[text.ids].T)[:, :-1]], axis=1
        ),
        "length of the key's embedding": lambda text: lengths[text.ids] / lengths.mean(),
    }


@dataclass
class Row:
    """What one candidate gains.

    Attributes:
        fit: (heads,) gain in mean IoU on the fit texts.
        held_out: (heads, texts) gain on each held-out text.
    """

    fit: list[float] = field(default_factory=list)
    held_out: list[np.ndarray] = field(default_factory=list)


def measured(run: hs.Run, every: int, elements: int, domains: Sequence[str]) -> list[dict[str, Any]]:
    """The table, best first by held-out gain.

    Args:
        run: a finished run.
        every: look at every so-manieth head.
        elements: pairs of tokens to fit on, and to read on.
        domains: of the run's texts, which lie in turn in each split.
    """
    attention, spec = run._captured
    fit = Side(attention, range(spec.fit), elements)
    held_out = Side(attention, range(spec.fit, spec.fit + spec.held_out), elements)
    sides = (fit, held_out)
    candidates = CANDIDATES | embedded(run)
    values = {name: tuple(side.values(candidate) for side in sides) for name, candidate in candidates.items()}
    groups = groups_of(*sides)
    dictionary = Dictionary(fit.sample, fit.evaluator)
    table: dict[str, Row] = {}
    programs = [found for found in run.programs if found.iou is not None]
    best = np.argmax([found.iou for found in programs], axis=0)
    for head in range(0, len(attention.labels), every):
        tree = tree_of(programs[best[head]].program)
        try:
            predictions = [side.sample.predict(side.evaluator.weights(tree)) for side in sides]
        except Unsupported:
            continue
        with np.errstate(divide="ignore"):
            bases = [np.log(prediction) for prediction in predictions]
        before = [side.iou(base, head) for side, base in zip(sides, bases, strict=True)]
        for name, count in groups.items():
            ratio = log_ratio(fit, predictions[0], head, count[0], count[2])
            values[name] = ratio[count[0]], ratio[count[1]]
        slope, prediction = fit.sample.iou_and_score_gradient(bases[0], head)[1:]
        rng = np.random.default_rng(head)
        for source in dictionary.search(slope, prediction, rng, limit=1, known=[]):
            values[DICTIONARY] = fit.evaluator.pattern(source), held_out.evaluator.pattern(source)
        for name, (on_fit, on_held_out) in values.items():
            c, iou = fitted(fit, bases[0], on_fit, head)
            row = table.setdefault(name, Row())
            row.fit.append(iou - before[0].mean())
            row.held_out.append(held_out.iou(bases[1] + np.float32(c) * on_held_out, head) - before[1])
        print(f"{attention.labels[head]}", end=" ", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return sorted((summary(name, row, domains) for name, row in table.items()), key=lambda row: -row["held_out"])


def summary(name: str, row: Row, domains: Sequence[str]) -> dict[str, Any]:
    """A row of the table."""
    gains = np.array(row.held_out)
    parts = {domain: gains[:, place :: len(domains)].mean() for place, domain in enumerate(domains)}
    return {
        "name": name,
        "heads": len(gains),
        "fit": float(np.mean(row.fit)),
        "held_out": float(gains.mean()),
        "worth": int((gains.mean(axis=1) > WORTH).sum()),
        "by_domain": {domain: round(float(value), 5) for domain, value in parts.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--every", type=int, default=3, help="look at every so-manieth head")
    parser.add_argument("--elements", type=int, default=40_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    one_thread_for_good()
    with hs.open_run(arguments.run) as run:
        table = measured(run, arguments.every, arguments.elements, run._captured[1].domains)
    if arguments.json:
        print(json.dumps(table))
        return
    print(describe())
    print(f"{'one more term':44} {'heads':>6} {'fit':>8} {'held-out':>9}  {'> ' + str(WORTH):>7}  by domain")
    for row in table:
        domains = " ".join(f"{name} {value:+.4f}" for name, value in row["by_domain"].items())
        print(
            f"{row['name']:44} {row['heads']:6} {row['fit']:+8.4f} {row['held_out']:+9.4f}  {row['worth']:7}  {domains}"
        )


if __name__ == "__main__":
    main()
