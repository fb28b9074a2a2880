"""A whole campaign from a configuration: opened, searched, reduced, reported. Silent, returns values, any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evolve.campaign import Campaign
from evolve.ceiling import REACHING, remember_ceiling
from evolve.config import Config
from evolve.listeners import REPORTING, SEARCHING, Listener, Listeners
from evolve.proposing import Proposer
from evolve.results.finish import RunResult, finish
from evolve.results.references import FITTING, remember_tables
from evolve.session import Session, opened_for_search
from evolve.stopping import conditions
from evolve.store import Store
from evolve.store.run_dir import RunDir, RunLog
from evolve.views.report import write_report
from fitness.errors import UserError
from fitness.own import Own
from operators.registry import LLM_OPERATORS

if TYPE_CHECKING:
    from evolve.llm_proposing import Asker


@dataclass(frozen=True)
class Ended:
    """How a session of a campaign ended.

    Attributes:
        run_dir: where the run lies.
        reason: the stop condition that held, or "interrupted".
        programs: programs evaluated by all sessions.
        seconds: wall time of all sessions.
        crowded: descriptors of which one bin holds most programs, so that they tell little apart.
        result: the numbers of the finished run; None where it was interrupted and can be resumed.
        new: programs evaluated in this session; none where the run had finished before.
    """

    run_dir: RunDir
    reason: str
    programs: int
    seconds: float
    crowded: tuple[str, ...]
    result: RunResult | None
    new: int

    def as_json(self) -> dict[str, Any]:
        """The numbers of the run, or that it was interrupted."""
        return self.result.as_json() if self.result else {"run_dir": str(self.run_dir.path), "interrupted": True}


def run_campaign(
    config: Config,
    run_dir: RunDir,
    listener: Listener | None = None,
    *,
    llm: str = "live",
    rebinning: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
    own: Sequence[Own] = (),
    client: Any = None,
) -> Ended:
    """Begins a campaign in a directory, or resumes the one that is there, until a stop condition holds.

    Args:
        config: what is asked.
        run_dir: where; created where it is missing.
        listener: told how it goes.
        llm: "live", or "replay": from stored replies alone.
        rebinning: sort stored programs into changed descriptor axes.
        interrupted: asked between steps; true ends the session after the step at hand.
        own: operators and descriptors that are given as objects.
        client: a `distributed.Client` whose workers do the work.

    Raises:
        UserError: for anything that the user must change.
        TooManyInternalErrorsError: where evaluating programs fails again and again for reasons that are not theirs.
    """
    log = RunLog(run_dir.log)
    told = Listeners([log, *([listener] if listener else [])])
    with opened_for_search(config, run_dir, told, rebinning=rebinning, own=own, client=client) as session:
        told.on_stage(FITTING, 0, 0)
        remember_tables(session.store, session.attention, session.spec)
        told.on_stage(REACHING, 0, 0)
        remember_ceiling(session.store, session.pool(told), session.spec)
        log.write("start", config=config.digest(), programs=session.store.next_number(), sandbox=config.sandbox.mode)
        before = session.store.next_number()
        campaign, reason = _search(session, told, llm, interrupted)
        log.write("stop", reason=reason, programs=campaign.state.programs)
        result = None
        if reason != "interrupted":
            told.on_stage(REPORTING, 0, 0)
            result = finish(session, told)
            write_report(run_dir)
        return Ended(
            run_dir,
            reason,
            campaign.state.programs,
            session.store.seconds(),
            tuple(campaign.state.grid.crowded()),
            result,
            session.store.next_number() - before,
        )


def _search(session: Session, listener: Listener, llm: str, interrupted: Callable[[], bool]) -> tuple[Campaign, str]:
    config, store, labels = session.config, session.store, session.attention.labels
    pool = session.pool(listener)
    with asking(config, store, llm, listener) as asker:
        campaign = Campaign(
            config,
            session.spec,
            store,
            pool,
            len(labels),
            Proposer(session.spec, store, labels, pool, asker),
            conditions(config.stop, session.run_dir.path),
            listener,
            interrupted,
        )
        listener.on_stage(SEARCHING, 0, 0)
        reason = campaign.run()
        store.set_meta("cached_calls", asker.cached if asker else 0)
    return campaign, reason


def llm_operators(config: Config) -> list[str]:
    """Operators with a share above 0 that ask a language model."""
    return [name for name in config.operators if name in LLM_OPERATORS and config.operators[name] > 0]


@contextmanager
def asking(config: Config, store: Store, mode: str, listener: Listener) -> Iterator[Asker | None]:
    """The way to language models, where operators ask for one; checks all prompts first.

    Raises:
        UserError: for a mode other than live and replay, templates that cannot be filled in, and a key that is to be
            sent to an address which nobody has agreed to.
    """
    if mode not in ("live", "replay"):
        raise UserError(f"--llm takes live or replay, not {mode!r}")
    asked = llm_operators(config)
    if not asked:
        yield None
        return

    # The client of the openai package takes seconds to import, which campaigns without an LLM are spared.
    from evolve.llm_proposing import Asker
    from operators.llm.client.keys import check_sent
    from operators.llm.client.settings import check_models
    from operators.llm.prompt_check import check_prompts

    check_models(config.llm.models)
    for model in config.llm.models if mode == "live" else ():
        check_sent(model)
    templates = check_prompts(config.llm.prompts, asked, config.llm.leave_out)
    asker = Asker(
        config, store, templates, mode="live" if mode == "live" else "replay", on_incident=listener.on_incident
    )
    try:
        yield asker
    finally:
        asker.close()
