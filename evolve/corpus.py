"""A campaign's texts: read, cut the way its model reads them, and divided into splits of which no two share a text."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from evolve.config import Config
from evolve.store.run_dir import write_atomically
from fitness.errors import UserError
from fitness.models.loading import Reader, load_tokenizer
from fitness.models.source import ModelSource
from fitness.text.corpus import DomainRead, Splits, split_texts

FORMAT = 1


def read_splits(config: Config, model: ModelSource, cache: Path, but: Sequence[str] = ()) -> Splits:
    """The texts of a campaign's splits, no two of them equal after the cut to `max_tokens`.

    Args:
        config: names the texts, their numbers and their length.
        model: whose tokenizer cuts them.
        cache: folder where the choice is remembered, as loading a tokenizer takes seconds.
        but: texts that serve elsewhere; no text equal to one of them is taken.

    Raises:
        UserError: where texts cannot be read, or are too few.
    """
    by_domain = {source.name: source.read(config.texts_by) for source in config.texts}
    return _split(config, model, cache, by_domain, config.splits.model_dump(), but)


def read_transfer(config: Config, model: ModelSource, cache: Path, splits: Splits) -> Splits:
    """The texts of the domains under `transfer`, as many of each as of a domain's test texts, all in `test`.

    None of them equals a text of the campaign's own splits after the cut.

    Raises:
        UserError: where there are no such domains, or texts cannot be read, or are too few.
    """
    if not config.abroad:
        raise UserError("transfer: the configuration names no texts of other domains")
    by_domain = {source.name: source.read(config.texts_by) for source in config.abroad}
    sizes = {"fit": 0, "held_out": 0, "test": config.splits.test}
    return _split(config, model, cache, by_domain, sizes, but=splits.all)


def _split(
    config: Config,
    model: ModelSource,
    cache: Path,
    by_domain: Mapping[str, Sequence[str]],
    sizes: dict[str, int],
    but: Sequence[str] = (),
) -> Splits:
    wanted = [FORMAT, model.identity, by_domain, sizes, config.seed, config.max_tokens, list(but)]
    digest = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:24]
    file = cache / f"texts-{digest}.json"
    known = _recall(file)
    if known is None:
        reader = Reader(load_tokenizer(model))
        known = split_texts(
            by_domain,
            **sizes,
            seed=config.seed,
            encode=lambda text: reader.encode(text, config.max_tokens),
            but=but,
        )
        _remember(file, known)
    return known


def _recall(file: Path) -> Splits | None:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        read = tuple(DomainRead(**numbers) for numbers in values.pop("read"))
        return Splits(**{name: tuple(entries) for name, entries in values.items()}, read=read)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # not there yet, or damaged, and read again


def _remember(file: Path, splits: Splits) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(dataclasses.asdict(splits)))
    except OSError as error:
        raise UserError(
            f"attention cache: cannot write to {file.parent}: {error.strerror}; choose another `attention_cache`"
        ) from None
