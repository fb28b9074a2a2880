"""`headscribe transfer`: a run's library on texts, lengths or a model that its search never used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.results.abroad import config_abroad
from evolve.results.provenance import dated, model_facts, provenance_of
from evolve.results.transfer import DomainTransfer, transfer
from evolve.results.transfer_replacement import replace_abroad
from evolve.session import opened_for_reading
from evolve.store.run_dir import RunDir, write_atomically
from evolve.views.stages import StageConsole, print_confinement
from fitness.errors import UserError

FILE = "transfer.json"


@dataclass(frozen=True)
class Transferred:
    """What `transfer --json` prints.

    Attributes:
        run_dir: the run whose library it is.
        domains: what the texts of each domain show.
        replaced: domain -> what replacing heads costs there, as `headscribe replace` tells it; empty if not asked for.
        provenance: of the run, and `transferred_to`, the model whose heads were predicted.
    """

    run_dir: Path
    domains: dict[str, DomainTransfer]
    replaced: dict[str, dict[str, Any]]
    provenance: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values: `run_dir`, `provenance`, and `transfer` by domain, with `perplexity` where it was asked for."""
        perplexity = {name: {"perplexity": found["perplexity"]} for name, found in self.replaced.items()}
        return {
            "run_dir": str(self.run_dir),
            "provenance": self.provenance,
            "transfer": {name: domain.as_json() | perplexity.get(name, {}) for name, domain in self.domains.items()},
        }


def transfer_library(
    path: Path,
    texts: list[str],
    *,
    model: str | None,
    max_tokens: int | None,
    limit: int | None,
    choose: bool,
    perplexity: bool = False,
    fractions: list[float] | None = None,
) -> Transferred:
    """Scores a run's library on other texts and writes `transfer.json` into the run.

    Args:
        path: a finished run.
        texts: files, built-in corpora or data sets, each a domain; none takes those of the run's own `transfer`.
        model: another model; None is the run's own.
        max_tokens: another length; None is the run's own.
        limit: texts of each domain; None is as many as the run has test texts.
        choose: choose each head's program from the library anew, on every other text.
        perplexity: put the programs in their heads' places on these texts as well.
        fractions: shares of the heads in [0, 1] that are replaced then; None is a few.

    Raises:
        UserError: for a run without a library, and texts that cannot be read, are too few, or are the run's own; for
            replacement in another model, or with programs chosen anew.
    """
    if perplexity and (model or choose):
        raise UserError(
            "transfer: --perplexity keeps the run's own model and assignment; leave out --model and --choose"
        )
    run_dir = RunDir(path)
    with StageConsole() as stages, opened_for_reading(run_dir, stages) as session:
        config = config_abroad(session.config, texts, model, max_tokens, limit)
        print_confinement(stages.console, config)
        domains = transfer(session, config, stages, choose=choose)
        replaced = replace_abroad(path, config, stages, fractions=fractions) if perplexity else {}
        about = dated(provenance_of(session.store)) | {"transferred_to": model_facts(config.target())}
    result = Transferred(path, domains, replaced, about)
    write_atomically(run_dir.file(FILE), json.dumps(result.as_json(), indent=1) + "\n")
    return result
