"""Texts on which a finished run is looked at and which its search never used: how they are asked for, and captured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from evolve.config import Config, parse_config
from evolve.config.texts import TextSource
from evolve.corpus import read_splits, read_transfer
from evolve.listeners import Listener
from evolve.session import attention_cache
from fitness.models.attention import Attention
from fitness.models.capture import capture


def config_abroad(
    own: Config,
    texts: Sequence[str],
    model: str | None = None,
    max_tokens: int | None = None,
    limit: int | None = None,
) -> Config:
    """A run's configuration with other texts under `transfer`, another model, length or number of texts."""
    settings = own.model_dump(mode="json")
    if texts:
        home = {source.name for source in own.texts}
        settings["transfer"] = [_domain(source, home) for source in texts]
    settings["model"] = model or own.model
    settings["max_tokens"] = max_tokens or own.max_tokens
    settings["splits"] = settings["splits"] | ({"test": limit} if limit else {})
    return parse_config(settings, "transfer")


def _domain(source: str, home: set[str]) -> dict[str, str]:
    """A source as a domain of its own; texts of one of the run's sources are those that the run did not use."""
    name = TextSource(source=source).name
    return {"source": source, "domain": f"{name}, unseen" if name in home else name}


def captured_abroad(own: Config, config: Config, listener: Listener | None = None) -> Iterator[tuple[str, Attention]]:
    """Attention on the texts under `transfer` of a configuration, domain by domain; none is a text of the run itself.

    Args:
        own: the run's configuration.
        config: the same, but for `transfer`, `splits.test`, `max_tokens` and `model`, which may differ.
        listener: told how it goes.

    Yields:
        Name of a domain, and the captured attention of its texts.

    Raises:
        UserError: for texts that cannot be read, are too few, or are the run's own.
    """
    cache, model = attention_cache(config), config.target()
    home = read_splits(own, own.target(), attention_cache(own))
    splits = read_transfer(config, model, cache, home)
    for place, domain in enumerate(splits.domains):
        texts = splits.test[place :: len(splits.domains)]
        progress = _progress(listener, f"capturing attention on {domain}")
        yield domain, capture(model, texts, max_tokens=config.max_tokens, cache=cache, progress=progress)


def _progress(listener: Listener | None, stage: str) -> Callable[[int, int], None] | None:
    return None if listener is None else lambda done, total: listener.on_stage(stage, done, total)
