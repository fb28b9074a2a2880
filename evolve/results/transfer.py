"""A library on texts that no search used: the assignment unchanged beside tables and the best single program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from archives.bootstrap import RESAMPLES, Estimate, Names, Split
from archives.compare import read_library_json
from archives.gain import best_of, gain_over
from archives.table import ScoreTable
from evolve.config import Config
from evolve.config.schema import FEWEST_TEXTS
from evolve.listeners import Listener
from evolve.results.abroad import captured_abroad
from evolve.results.found import score_table
from evolve.results.provenance import texts_hash
from evolve.results.references import run_tables
from evolve.session import Session
from fitness.errors import UserError
from fitness.models.attention import Attention
from fitness.program import Program
from fitness.sandbox import Limits
from fitness.scoring.baselines import baselines
from fitness.scoring.references import KINDS, fit_tables
from fitness.scoring.worker import WorkerSpec

# Column of the tables that are fitted abroad.
HERE = "tables_here"


@dataclass(frozen=True)
class DomainTransfer:
    """A library on texts of one domain; intervals are 95 % bootstraps over texts, differences paired by text.

    Attributes:
        domain: name of the domain.
        model: the model whose heads were predicted.
        texts: number of texts that the numbers come from.
        texts_sha256: hash of all texts of the domain, see `evolve.results.provenance.texts_hash`.
        tokens: their tokens.
        max_tokens: length that texts were cut to.
        heads: number of heads that have a program.
        chosen_here: whether each head's program was chosen from the library on other texts of this domain; False is the
            run's own assignment, unchanged.
        library: IoU of the library.
        reference: IoU of the run's own tables or simple baselines, chosen at home; None where programs are chosen here.
        gain: library minus that reference.
        heads_won: heads whose own interval of that lies above 0.
        heads_lost: heads whose own interval of that lies below 0.
        single_best: IoU of the program that is the best single one at home.
        gain_over_single: library minus that program.
        tables_here: IoU of tables fitted here, each half of the texts predicted from the other.
        gain_over_tables_here: library minus those.
        by_head: head -> IoU of its program; not among the plain values.
    """

    domain: str
    model: str
    texts: int
    texts_sha256: str
    tokens: int
    max_tokens: int
    heads: int
    chosen_here: bool
    library: Estimate
    reference: Estimate | None
    gain: Estimate | None
    heads_won: int | None
    heads_lost: int | None
    single_best: Estimate
    gain_over_single: Estimate
    tables_here: Estimate
    gain_over_tables_here: Estimate
    by_head: Mapping[str, Estimate | None]

    def as_json(self) -> dict[str, Any]:
        """Plain values; `library`, `reference` and `gain` are numbers, `interval` is that of the gain."""
        values = asdict(self)
        for name in ("library", "reference", "gain", "single_best", "gain_over_single", "tables_here"):
            values |= _number(name, getattr(self, name))
        values |= _number("gain_over_tables_here", self.gain_over_tables_here)
        del values["by_head"]
        return values | {"interval": values["gain_interval"]}


def _number(name: str, estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {name: None, f"{name}_interval": None}
    interval = None if estimate.low is None else [estimate.low, estimate.high]
    return {name: estimate.value, f"{name}_interval": interval}


def transfer(
    session: Session, config: Config, listener: Listener | None = None, *, choose: bool = False
) -> dict[str, DomainTransfer]:
    """The run's library on the texts under `transfer` of a configuration, domain by domain.

    Heads are matched by name and keep their programs. Where a model has other heads, or on request, each head gets the
    library's best program on every other text, and the numbers come from the rest.

    Args:
        session: a run with a library.
        config: the run's configuration, but for `transfer`, `splits.test`, `max_tokens` and `model`, which may differ.
        listener: told how it goes.
        choose: choose each head's program anew, also for a model with heads of the same names.

    Returns:
        domain -> what its texts show.

    Raises:
        UserError: for a run without a library, and texts that cannot be read, are too few, or are the run's own.
    """
    if config.splits.test < FEWEST_TEXTS:
        raise UserError(f"transfer: {config.splits.test} texts per domain are too few; give at least {FEWEST_TEXTS}")
    library = read_library_json(session.run_dir.file("library.json"))
    found = {}
    for domain, attention in captured_abroad(session.config, config, listener):
        if listener is not None:
            listener.on_stage(f"scoring the library on {domain}", 0, 0)
        scores = _scores(session, config, library, attention, listener)
        kept = _same_heads(session, attention) and not choose
        found[domain] = _compare(domain, config, library, attention, scores, kept=kept)
    return found


def _same_heads(session: Session, attention: Attention) -> bool:
    own = session.attention
    return tuple(attention.labels) == tuple(own.labels) and attention.causal == own.causal


def _scores(
    session: Session, config: Config, library: Mapping[str, Any], attention: Attention, listener: Listener | None
) -> ScoreTable:
    """(heads, columns, texts) IoU of programs, baselines, the tables of home (for the same heads) and those of here."""
    sandbox, texts = config.sandbox, len(attention.texts)
    limits = Limits(sandbox.cpu_seconds, sandbox.memory_mb)
    spec = WorkerSpec(str(attention.folder), 0, texts, 0, (), sandbox.mode, limits)
    programs = {entry["id"]: Program.parse(entry["source"]) for entry in library["programs"]}
    found = session.store.programs(session.store.known([library["single_best"]]).values())
    programs |= {record.id: record.program() for record in found.values()}
    programs |= {program.id: program for program in baselines().values()}
    scores = score_table(session.pool(listener), spec, "held_out", attention.labels, programs, list(programs))
    columns, arrays = [*scores.programs, HERE], [scores.scores, _tables_here(attention)[:, None]]
    if _same_heads(session, attention):
        home = run_tables(session.spec).score(attention, range(texts))
        columns += KINDS
        arrays += [home[kind][:, None] for kind in KINDS]
    return ScoreTable(np.concatenate(arrays, axis=1), tuple(attention.labels), tuple(columns))


def _tables_here(attention: Attention) -> np.ndarray:
    """(heads, texts) IoU of tables fitted on these texts: each half is predicted by tables fitted on the other half.

    Which kind of table a head has in one half is chosen by how well the kinds predict the other.
    """
    texts = range(len(attention.texts))
    halves = (texts[::2], texts[1::2])
    scores = [
        fit_tables(attention, other).score(attention, half) for half, other in zip(halves, halves[::-1], strict=True)
    ]
    found = np.empty((len(attention.labels), len(texts)), dtype=np.float32)
    rows = np.arange(len(found))
    for half, own, other in zip(halves, scores, scores[::-1], strict=True):
        best = np.stack([other[kind].mean(axis=1) for kind in KINDS]).argmax(axis=0)
        found[:, list(half)] = np.stack([own[kind] for kind in KINDS])[best, rows]
    return found


def _compare(
    domain: str, config: Config, library: Mapping[str, Any], attention: Attention, scores: ScoreTable, *, kept: bool
) -> DomainTransfer:
    assigned = library["assignment"]
    texts = list(range(len(attention.texts)))
    names: Names
    if kept:
        names = [assigned[label]["program"] for label in attention.labels]
    else:
        ids = [entry["id"] for entry in library["programs"]]
        names = best_of(_on_texts(scores, texts[::2]).take_programs(ids).means, ids)
        texts = texts[1::2]
    split = Split.of(_on_texts(scores, texts), seed=config.seed, resamples=RESAMPLES)
    single = [library["single_best"]] * len(names)
    reference = [assigned[label]["reference"] for label in attention.labels] if kept else None
    over = gain_over(split, names, reference) if reference else None
    return DomainTransfer(
        domain,
        config.model,
        len(texts),
        texts_hash(attention.texts),
        sum(attention.texts[text].n for text in texts),
        config.max_tokens,
        sum(name is not None for name in names),
        not kept,
        split.mean(names),
        over.other if over else None,
        over.gain if over else None,
        over.won if over else None,
        over.lost if over else None,
        split.mean(single),
        split.mean(names, less=single),
        split.mean([HERE] * len(names)),
        split.mean(names, less=[HERE] * len(names)),
        dict(zip(attention.labels, split.by_head(names), strict=True)),
    )


def _on_texts(scores: ScoreTable, texts: Sequence[int]) -> ScoreTable:
    return ScoreTable(scores.scores[:, :, list(texts)], scores.heads, scores.programs)
