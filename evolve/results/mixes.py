"""Mixes of a library's programs: what each head gains where a few of them predict it together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from archives.bootstrap import RESAMPLES, Estimate, Split
from archives.compare import read_library_json
from archives.table import ScoreTable
from evolve.ceiling import ceiling_held_out
from evolve.config import Config
from evolve.listeners import Listener
from evolve.results.abroad import captured_abroad
from evolve.results.provenance import dated, provenance_of
from evolve.session import Session
from evolve.store.readings import recorder_at
from fitness.errors import UserError
from fitness.models.attention import Attention
from fitness.program import Program
from fitness.sandbox import Limits, Sandbox
from fitness.scoring.contract import to_predictions
from fitness.scoring.mixes import Mixing, mixed_iou
from fitness.scoring.packing import Packing

READER = "library --mix"
# Elements of predictions that are held at once, and about how many a mix is fitted on.
HELD_ELEMENTS = 100_000_000
FIT_ELEMENTS = 30_000
SMALLEST_WEIGHT = 0.005


@dataclass(frozen=True)
class MixPoint:
    """Mixes of at most so many programs; intervals are 95 % bootstraps over texts, differences paired by text.

    Attributes:
        size: the most programs of a mix; 1 is the library's own assignment.
        programs: programs per head, the mean over heads of what was chosen on held-out texts.
        held_out: mean IoU on held-out texts.
        test: IoU on test texts.
        gain: that, less the library's own assignment; None for size 1.
        abroad: domain -> (IoU, gain) on texts that no search used.
    """

    size: int
    programs: float
    held_out: float
    test: Estimate
    gain: Estimate | None
    abroad: dict[str, tuple[Estimate, Estimate | None]]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": self.size,
            "programs_per_head": round(self.programs, 3),
            "mean_iou_held_out": self.held_out,
            **_both("iou_test", self.test, self.gain),
            "abroad": {domain: _both("iou", *found) for domain, found in self.abroad.items()},
        }


@dataclass(frozen=True)
class Mixes:
    """The curve of sizes, and the mix of each head.

    Attributes:
        curve: one point for each size from 1 on.
        heads: head -> (program id, weight), heaviest first; how many there are was chosen on held-out texts.
        single_best_iou_test: IoU on test texts of the best single program in all heads.
        reference_iou_test: IoU on test texts of the run's references.
        ceiling_iou_held_out: held-out IoU of the dense log-linear models; None where they were not fitted.
        provenance: what the run is about.
    """

    curve: tuple[MixPoint, ...]
    heads: dict[str, list[tuple[str, float]]]
    single_best_iou_test: float | None
    reference_iou_test: float | None
    ceiling_iou_held_out: float | None
    provenance: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        heads = {label: [{"program": name, "weight": w} for name, w in mix] for label, mix in self.heads.items()}
        return asdict(self) | {"curve": [point.as_json() for point in self.curve], "heads": heads}


def _both(name: str, value: Estimate, gain: Estimate | None) -> dict[str, Any]:
    gained = None if gain is None else gain.value
    return {
        name: value.value,
        f"{name}_interval": _interval(value),
        "gain_over_one": gained,
        "gain_over_one_interval": None if gain is None else _interval(gain),
    }


def _interval(estimate: Estimate) -> list[float] | None:
    return None if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]


def mix_library(session: Session, config: Config, most: int, listener: Listener | None = None) -> Mixes:
    """Fits mixes of a library's programs on fit texts, chooses their sizes on held-out ones, and reads test texts.

    Args:
        session: a run with a library.
        config: the run's configuration; the texts under its `transfer` are read as well.
        most: programs that a mix may have, 2 or more.
        listener: told how it goes.

    Raises:
        UserError: for a run without a library, or with another one of its texts under `transfer`.
    """
    library = read_library_json(session.run_dir.file("library.json"))
    programs = [Program.parse(entry["source"]) for entry in library["programs"]]
    ids = [program.id for program in programs]
    labels = session.attention.labels
    missing = [label for label in labels if library["assignment"][label]["program"] is None]
    if missing:
        raise UserError(
            f"library --mix: {len(missing)} heads have no program, {missing[0]} for one; nothing to mix there"
        )
    first = [ids.index(library["assignment"][label]["program"]) for label in labels]
    spec = session.spec
    bench = _Bench(session.attention, config, programs, listener)
    weights = bench.fit(range(spec.fit), first, most)
    held_out = bench.score("held-out texts", range(spec.fit, spec.fit + spec.held_out), weights)
    means = np.stack([spec.fitness(scores) for scores in held_out])
    # At most k programs: of the sizes up to k, the one that is best on held-out texts, the smaller where they tie.
    chosen = np.stack([means[:size].argmax(axis=0) for size in range(1, most + 1)])
    recorder_at(session.run_dir.database, READER)(len(programs))
    begin = spec.fit + spec.held_out
    read = {"": bench.score("test texts", range(begin, begin + spec.test), weights)}
    for domain, attention in captured_abroad(session.config, config, listener) if config.transfer else ():
        abroad = _Bench(attention, config, programs, listener)
        read[domain] = abroad.score(domain, range(len(attention.texts)), weights)
    splits = {
        domain: Split.of(_table(scores, labels), seed=config.seed, resamples=RESAMPLES)
        for domain, scores in read.items()
    }
    rows = np.arange(len(labels))
    return Mixes(
        tuple(
            _point(size, splits, sizes, float(means[sizes, rows].mean())) for size, sizes in enumerate(chosen, start=1)
        ),
        {label: _named(ids, weights[chosen[-1][row], row]) for row, label in enumerate(labels)},
        library["single_best_iou_test"],
        library["reference_iou_test"],
        ceiling_held_out(session.store),
        dated(provenance_of(session.store)),
    )


def _named(ids: Sequence[str], weights: np.ndarray) -> list[tuple[str, float]]:
    order = np.argsort(-weights, kind="stable")
    return [(ids[place], round(float(weights[place]), 4)) for place in order if weights[place] > SMALLEST_WEIGHT]


def _table(scores: np.ndarray, labels: Sequence[str]) -> ScoreTable:
    """(sizes, heads, texts) scores as a table whose columns are sizes."""
    return ScoreTable(scores.transpose(1, 0, 2), tuple(labels), tuple(map(str, range(len(scores)))))


def _point(size: int, splits: dict[str, Split], sizes: np.ndarray, held_out: float) -> MixPoint:
    """Of mixes of at most `size` programs, each head having (heads,) `sizes`, counted from 0."""
    names, alone = [str(size) for size in sizes], ["0"] * len(sizes)
    found = {
        domain: (split.mean(names), split.mean(names, less=alone) if size > 1 else None)
        for domain, split in splits.items()
    }
    test, gain = found.pop("")
    return MixPoint(size, float((sizes + 1).mean()), held_out, test, gain, found)


class _Bench:
    """Runs a library's programs on captured attention, some texts at a time."""

    def __init__(
        self, attention: Attention, config: Config, programs: Sequence[Program], listener: Listener | None
    ) -> None:
        self._attention = attention
        self._programs = programs
        self._config = config
        self._listener = listener

    def fit(self, texts: Sequence[int], first: Sequence[int], most: int) -> np.ndarray:
        """(most, heads, programs) float32: mixes fitted on some queries of these texts."""
        sizes = [self._attention.block(text).shape[1] for text in texts]
        step = max(1, min(round(sum(sizes) / FIT_ELEMENTS), min(self._attention.texts[text].n for text in texts)))
        predictions, targets, rows, elements = [], [], [], []
        for part, packing, found in self._predicted("fit texts", texts):
            places = zip(packing.lengths, part, strict=True)
            kept = np.concatenate([np.arange(n) % step == place % step for n, place in places])
            mask = packing.spread(kept)
            predictions.append(found[:, mask])
            blocks = np.concatenate([self._attention.block(texts[place]) for place in part], axis=1)
            targets.append(blocks[:, mask].astype(np.float32))
            rows += np.add.reduceat(kept, packing.text_rows[:-1], dtype=np.int64).tolist()
            elements += np.add.reduceat(mask, packing.offsets[:-1], dtype=np.int64).tolist()
        mixing = Mixing(np.concatenate(predictions, axis=1), np.array(rows), np.cumsum([0, *elements[:-1]]))
        attention = np.concatenate(targets, axis=1)
        weights = np.empty((most, len(first), len(self._programs)), dtype=np.float32)
        for head, begun in enumerate(first):
            self._tell("fitting mixes", head, len(first))
            weights[:, head] = mixing.fit(attention[head], begun, most)
        self._tell("fitting mixes", len(first), len(first))
        return weights

    def score(self, name: str, texts: Sequence[int], weights: np.ndarray) -> np.ndarray:
        """(sizes, heads, texts) IoU of mixes."""
        parts = [
            mixed_iou(found, weights, packing, [self._attention.block(texts[place]) for place in part])
            for part, packing, found in self._predicted(name, texts)
        ]
        return np.concatenate(parts, axis=2)

    def _predicted(self, name: str, texts: Sequence[int]) -> Iterator[tuple[range, Packing, np.ndarray]]:
        """Places of some of the texts, how their elements lie, and (programs, N) predictions; empty where one fails."""
        longest = max(self._attention.block(text).shape[1] for text in texts)
        many = max(1, HELD_ELEMENTS // (longest * len(self._programs)))
        sandbox, causal = self._config.sandbox, self._attention.causal
        limits = Limits(sandbox.cpu_seconds, sandbox.memory_mb)
        inputs = [self._attention.texts[text] for text in texts]
        with Sandbox(inputs, mode=sandbox.mode, limits=limits) as running:
            for begin in range(0, len(texts), many):
                part = range(begin, min(begin + many, len(texts)))
                packing = Packing([inputs[place].n for place in part], causal=causal)
                found = np.zeros((len(self._programs), int(packing.offsets[-1])), dtype=np.float32)
                for row, program in enumerate(self._programs):
                    self._tell(f"running the library on {name}", begin * len(self._programs) + row, 0)
                    outcome = running.run(program, list(part))
                    if outcome.ok:
                        found[row] = to_predictions(packing.pack(outcome.weights), packing)
                yield part, packing, found

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._listener is not None:
            self._listener.on_stage(stage, done, total)
