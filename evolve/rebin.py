"""New descriptor axes for a campaign's stored programs, without evaluating any of them again."""

from __future__ import annotations

from evolve.config import Config
from evolve.store import Store
from fitness.errors import UserError

REBINNED = ("search.bins", "search.descriptors")


def rebin(store: Store, config: Config) -> None:
    """Makes a run fit a configuration with other bins, or fewer or reordered descriptors.

    The grid is rebuilt from the store at every start; only the stored descriptors have to follow the new order.

    Raises:
        UserError: for descriptors that were not measured when the programs ran.
    """
    begun = store.meta("fingerprint", {})
    before, after = begun["search.descriptors"], list(config.search.descriptors)
    unknown = [name for name in after if name not in before]
    if unknown:
        raise UserError(
            f"--rebin: descriptor {unknown[0]!r} was not measured in this run, which has {', '.join(before)}; "
            "start in another --run-dir to measure it"
        )
    columns = [before.index(name) for name in after]
    store.rebin(columns, begun | {key: config.fingerprint()[key] for key in REBINNED})
