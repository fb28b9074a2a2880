"""`headscribe score`: programs from outside on a model's heads, or a published score table."""

from __future__ import annotations

from pathlib import Path

from archives.table import is_table, read_table
from evolve.results.program_files import read_program_file
from evolve.results.provenance import dated, file_facts, provenance_of_files
from evolve.results.scores import Scored, ScoredPrograms, score_programs, scoring_config, summarise, write_scores
from evolve.views.stages import StageConsole, print_confinement
from fitness.errors import UserError


def score(
    path: Path,
    *,
    model: str | None,
    texts: str,
    max_tokens: int,
    limit: int,
    sandbox: str,
    workers: int,
    out: Path | None,
) -> Scored:
    """Scores a file of programs against every head of a model, or sums up a score table, CSV or Parquet.

    Raises:
        UserError: for a file that cannot be read or holds no program, and a missing model.
    """
    measured: ScoredPrograms | None = None
    assignment = None
    if is_table(path):
        table = read_table(path)
    elif model is None:
        raise UserError("score: programs need --model, a folder, a bundled name or a hub name, to be scored on")
    else:
        file = read_program_file(path)
        config = scoring_config(model, texts, max_tokens=max_tokens, limit=limit, sandbox=sandbox, workers=workers)
        with StageConsole() as stages:
            print_confinement(stages.console, config)
            measured = score_programs(file, config, stages)
        table = measured.table
        # An assignment is of one model's heads; on another model programs are chosen anew.
        assignment = file.assignment if file.model in (None, config.target().identity) else None
    if out:
        write_scores(table, out)
    if measured is None:
        about = provenance_of_files({path.stem: path})
    else:
        about = {**measured.provenance, "programs": file_facts(path)}
    return summarise(table, dated(about), measured, assignment)
