"""`headscribe run`: capture, search, reduce, report."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from evolve.campaign import Campaign, Listener
from evolve.commands.report import write_report
from evolve.config import Config, load_config, model_path
from evolve.finish import finish
from evolve.own_names import check_own_names
from evolve.proposing import Proposer
from evolve.rebin import REBINNED, rebin
from evolve.run_dir import RunDir, RunLock, RunLog
from evolve.stopping import conditions
from evolve.store import Store
from evolve.views.console import CampaignConsole, duration, error_console
from fitness.errors import UserError
from fitness.models.capture import Attention, capture
from fitness.sandbox import Limits, SandboxUnavailable, probe
from fitness.scoring.pool import Pool
from fitness.scoring.worker import WorkerSpec
from fitness.text.corpus import read_texts, split_texts
from operators.registry import LLM_OPERATORS

if TYPE_CHECKING:
    from evolve.llm_proposing import Asker


def run_campaign(
    name: str, directory: Path | None, overrides: list[str], *, llm: str, rebinning: bool, quiet: bool
) -> tuple[dict[str, Any], bool]:
    """Runs or continues a campaign.

    Args:
        name: configuration file or preset.
        directory: run directory; None is `runs/` and the configuration's name.
        overrides: `a.b=c` settings.
        llm: "live" or "replay".
        rebinning: sort stored programs into changed descriptor axes.
        quiet: print no table on stdout.

    Returns:
        What `--json` prints, and whether the campaign was interrupted and can be resumed.

    Raises:
        UserError: for anything that the user must change.
    """
    config = load_config(name, overrides)
    check_own_names(config)
    run_dir = RunDir(directory or Path("runs") / Path(name).stem)
    run_dir.prepare()
    console = error_console()
    with RunLock(run_dir):
        try:
            return _run(config, run_dir, console, llm=llm, rebinning=rebinning, quiet=quiet)
        except (sqlite3.OperationalError, OSError) as error:
            raise _disk_trouble(error, run_dir) from error


def _run(
    config: Config, run_dir: RunDir, console: Console, *, llm: str, rebinning: bool, quiet: bool
) -> tuple[dict[str, Any], bool]:
    log = RunLog(run_dir.log)
    console.print(confinement(config), highlight=False)
    with opened(config, run_dir, console, rebinning=rebinning) as session:
        log.write("start", config=config.digest(), programs=session.store.next_number(), sandbox=config.sandbox.mode)
        title = f"{config.model}  {run_dir.path}"
        pool = Pool(config.parallel.workers, config.parallel.backend, log.on_incident)
        with (
            CampaignConsole(console, title, config.stop) as live,
            graceful_stop(console) as interrupted,
            asking(config, session.store, llm, [log, live]) as asker,
        ):
            proposer = Proposer(
                session.spec, session.store, session.attention.labels, 2 * pool.workers, asker, interrupted
            )
            campaign = Campaign(
                config,
                session.spec,
                session.store,
                pool,
                len(session.attention.labels),
                proposer,
                conditions(config.stop, run_dir.path),
                [log, live],
                interrupted,
            )
            reason = campaign.run()
            session.store.set_meta("cached_calls", asker.cached if asker else 0)
        log.write("stop", reason=reason, programs=campaign.state.programs)
        if reason == "interrupted":
            again = f"headscribe run {run_dir.config} --run-dir {run_dir.path}"
            console.print(f"stopped after {campaign.state.programs} programs; go on with:\n  {escape(again)}")
            return {"run_dir": str(run_dir.path), "interrupted": True}, True
        console.print(f"{escape(reason)}, in {duration(session.store.seconds())}", highlight=False)
        crowded = campaign.state.grid.crowded()
        if crowded:
            console.print(f"note: most programs fall in one bin of {', '.join(crowded)}; it tells little apart")
        result = finish(run_dir, config, session.store, pool, session.spec, session.attention)
    report = write_report(run_dir.path, quiet=True)["report"]
    if not quiet:
        _print_result(result, run_dir, report)
    return result, False


@contextmanager
def asking(config: Config, store: Store, mode: str, listeners: Sequence[Listener]) -> Iterator[Asker | None]:
    """The way to language models, where operators ask for one; checks all prompts first.

    Raises:
        UserError: for a mode other than live and replay, and templates that cannot be filled in.
    """
    if mode not in ("live", "replay"):
        raise UserError(f"--llm takes live or replay, not {mode!r}")
    asked = [name for name in config.operators if name in LLM_OPERATORS and config.operators[name] > 0]
    if not asked:
        yield None
        return

    # The client of the openai package takes seconds to import, which campaigns without an LLM are spared.
    from evolve.llm_proposing import Asker
    from operators.llm.client.settings import check_models
    from operators.llm.prompt_check import check_prompts

    def tell(message: str) -> None:
        for listener in listeners:
            listener.on_incident(message)

    check_models(config.llm.models)
    templates = check_prompts(config.llm.prompts, asked)
    asker = Asker(config, store, templates, mode="live" if mode == "live" else "replay", on_incident=tell)
    try:
        yield asker
    finally:
        asker.close()


@dataclass(frozen=True)
class Session:
    """What a command needs in order to evaluate programs of a run."""

    store: Store
    attention: Attention
    spec: WorkerSpec


@contextmanager
def opened(config: Config, run_dir: RunDir, console: Console, *, rebinning: bool = False) -> Iterator[Session]:
    """Opens or starts the run in a directory; refuses one that was begun with other texts, model or search."""
    fresh = not run_dir.database.exists()
    store = None if fresh else Store(run_dir.database)
    try:
        if store:
            check_same(store.meta("fingerprint", {}), config, run_dir, but=REBINNED if rebinning else ())
            if rebinning:
                rebin(store, config)
        attention, spec = captured(config, console)
        if store is None:
            facts = {
                "fingerprint": config.fingerprint(),
                "attention": Path(attention.folder).name,
                "labels": list(attention.labels),
            }
            store = Store(run_dir.database, create=True, meta=facts)
        elif store.meta("attention") != Path(attention.folder).name:
            raise UserError(
                f"{run_dir.path}: the model's weights or the texts are not those this run was begun with; "
                "put them back, or start in another --run-dir"
            )
        store.set_meta("sandbox", config.sandbox.mode)
        run_dir.save_config(config)
        yield Session(store, attention, spec)
    finally:
        if store:
            store.close()


def captured(config: Config, console: Console) -> tuple[Attention, WorkerSpec]:
    """Captures the attention of all splits, or reuses it, and says what workers need."""
    sizes = config.splits
    texts = read_texts(config.texts)
    splits = split_texts(texts, fit=sizes.fit, held_out=sizes.held_out, test=sizes.test, seed=config.seed)
    with console.status(f"capturing attention of {escape(config.model)}") as waiting:

        def progress(done: int, total: int) -> None:
            waiting.update(f"capturing attention of {escape(config.model)}: {done} of {total} texts")

        attention = capture(
            model_path(config.model),
            splits.all,
            max_tokens=config.max_tokens,
            cache=attention_cache(config),
            progress=progress,
        )
    return attention, worker_spec(config, attention, (sizes.fit, sizes.held_out, sizes.test))


def worker_spec(config: Config, attention: Attention, sizes: tuple[int, int, int]) -> WorkerSpec:
    """What workers need for captured attention whose texts are divided into fit, held_out and test."""
    limits = Limits(config.sandbox.cpu_seconds, config.sandbox.memory_mb)
    return WorkerSpec(str(attention.folder), *sizes, config.search.descriptors, config.sandbox.mode, limits)


def attention_cache(config: Config) -> Path:
    """Folder of captured attention: as configured, else the user's cache folder."""
    import os

    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headscribe" / "attention"
    return config.attention_cache or default


def check_same(begun: dict[str, Any], config: Config, run_dir: RunDir, but: Sequence[str] = ()) -> None:
    """Refuses to go on with other settings than the run was begun with.

    Raises:
        UserError: naming what differs.
    """
    now = config.fingerprint()
    keys = [key for key in now if begun.get(key) != now[key] and key not in but]
    if keys:
        differ = "; ".join(f"{key} was {begun.get(key)!r}, is {now[key]!r}" for key in keys)
        advice = "; --rebin sorts what was found into the new axes" if set(keys) <= set(REBINNED) else ""
        raise UserError(
            f"{run_dir.path} was begun with other settings: {differ}; set them back to go on, or start in another "
            f"--run-dir{advice}"
        )


def confinement(config: Config) -> str:
    """One line on how programs are run.

    Raises:
        UserError: where they cannot be confined as asked.
    """
    try:
        line = probe(config.sandbox.mode)
    except SandboxUnavailable as error:
        raise UserError(str(error)) from None
    limits = f"{config.sandbox.cpu_seconds:g} s CPU and {config.sandbox.memory_mb} MB each"
    text = f"{line}; {limits}"
    return f"[bold red]{escape(text)}[/]" if config.sandbox.mode == "degraded" else escape(text)


@contextmanager
def graceful_stop(console: Console) -> Iterator[Callable[[], bool]]:
    """The first SIGINT or SIGTERM asks for a stop after the step, the second stops at once."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        console.print("stopping after this step; once more stops at once", highlight=False)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _disk_trouble(error: Exception, run_dir: RunDir) -> Exception:
    text = str(error).lower()
    if any(sign in text for sign in ("full", "no space", "file too large", "readonly", "read-only", "disk i/o")):
        return UserError(
            f"{run_dir.path} cannot be written to: {error}; make room and run again, the campaign goes on where it was"
        )
    return error


def _print_result(result: dict[str, Any], run_dir: RunDir, report: str) -> None:
    from rich.table import Table

    table = Table(title=f"{result['heads']} heads, test texts", title_justify="left")
    table.add_column("programs")
    table.add_column("mean IoU", justify="right")
    table.add_row("best simple baseline of each head", f"{result['baseline_iou_test']:.3f}")
    table.add_row("best single program for all heads", f"{result['single_best_iou_test']:.3f}")
    table.add_row(f"library of {result['library_size']} programs", f"[bold]{result['mean_iou_test']:.3f}[/bold]")
    console = Console()
    console.print(table)
    console.print(
        f"{result['programs_evaluated']} programs evaluated, {result['programs_failed']} failed, "
        f"{duration(result['seconds'])}",
        highlight=False,
    )
    console.print(f"library: {run_dir.file('library.py')}\nreport:  {report}", highlight=False)
