"""Dividing texts into splits, domain by domain, so that no two are equal after the cut."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fitness.errors import UserError

# What a model sees of a text after the cut, and whether it was cut.
Encode = Callable[[str], tuple[Sequence[int], bool]]


@dataclass(frozen=True)
class DomainRead:
    """What was read of one domain.

    Attributes:
        domain: its name.
        found: different texts that the source holds.
        texts: texts that went into the splits.
        tokens: their tokens after the cut.
        cut: how many of them were cut.
        duplicates: texts passed over because another one is equal after the cut.
        short: texts passed over because they have fewer than two tokens.
    """

    domain: str
    found: int
    texts: int
    tokens: int = 0
    cut: int = 0
    duplicates: int = 0
    short: int = 0


@dataclass(frozen=True)
class Splits:
    """Which texts serve what; no two of them are equal.

    With several domains each split holds as many texts of each, taking turns: text i of a split is of domain
    `domains[i % len(domains)]`.

    Attributes:
        fit: texts that operators see.
        held_out: texts that give fitness.
        test: texts that reports read, once.
        domains: names of the domains; the first is the campaign's own.
        read: what was read of each domain.
    """

    fit: tuple[str, ...]
    held_out: tuple[str, ...]
    test: tuple[str, ...]
    domains: tuple[str, ...] = ("texts",)
    read: tuple[DomainRead, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Texts of fit, held_out and test, in this order."""
        return self.fit + self.held_out + self.test

    @property
    def numbers(self) -> dict[str, Any]:
        """Plain values: `texts` and `tokens` of all splits, and `domains` with the attributes of `DomainRead`."""
        domains = {read.domain: asdict(read) for read in self.read}
        for numbers in domains.values():
            del numbers["domain"]
        texts, tokens = sum(read.texts for read in self.read), sum(read.tokens for read in self.read)
        return {"texts": texts, "tokens": tokens, "domains": domains}


def domain_indices(texts: int, domains: int) -> np.ndarray:
    """(texts,) int64: which domain each text of a split is of."""
    return np.arange(texts) % domains


def split_texts(
    texts: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    fit: int,
    held_out: int,
    test: int,
    seed: int,
    encode: Encode | None = None,
    but: Sequence[str] = (),
) -> Splits:
    """Divides the texts of one or more domains at random.

    Args:
        texts: different texts, or those of each domain by its name.
        fit: number of texts of each domain in the fit split.
        held_out: number of texts of each domain in the held-out split.
        test: number of texts of each domain in the test split.
        seed: of the choice.
        encode: what the model sees of a text. Of texts that are equal there, or have fewer than two tokens, the next
            one takes the place. None compares whole strings.
        but: texts that serve elsewhere; no text equal to one of them is taken.

    Raises:
        UserError: where there are fewer texts than asked for.
    """
    by_domain = texts if isinstance(texts, Mapping) else {"texts": texts}
    sizes = (fit, held_out, test)
    seen: set[Hashable] = {tuple(encode(text)[0]) if encode else text for text in but}
    chosen, read = [], []
    for index, (domain, candidates) in enumerate(by_domain.items()):
        order = np.random.default_rng((seed, 0x5917, index) if index else (seed, 0x5917)).permutation(len(candidates))
        picked, report = _pick(domain, [candidates[i] for i in order], sum(sizes), encode, seen)
        if len(picked) < sum(sizes):
            raise UserError(_too_few(report, sizes, several=len(by_domain) > 1))
        chosen.append(picked)
        read.append(report)
    turns = [text for turn in zip(*chosen, strict=True) for text in turn]
    ends = np.cumsum([0, *sizes]) * len(chosen)
    parts = [tuple(turns[begin:end]) for begin, end in pairwise(ends)]
    return Splits(parts[0], parts[1], parts[2], tuple(by_domain), tuple(read))


def _pick(
    domain: str, candidates: Sequence[str], wanted: int, encode: Encode | None, seen: set[Hashable]
) -> tuple[list[str], DomainRead]:
    """The first texts that differ from each other and from those seen, and what was met on the way."""
    picked: list[str] = []
    tokens = cuts = duplicates = short = 0
    for text in candidates:
        if len(picked) == wanted:
            break
        ids, cut = encode(text) if encode else ((), False)
        key: Hashable = tuple(ids) if encode else text
        if encode and len(ids) < 2:
            short += 1
        elif key in seen:
            duplicates += 1
        else:
            seen.add(key)
            picked.append(text)
            tokens += len(ids)
            cuts += cut
    return picked, DomainRead(domain, len(candidates), len(picked), tokens, cuts, duplicates, short)


def _too_few(read: DomainRead, sizes: tuple[int, int, int], *, several: bool) -> str:
    fit, held_out, test = sizes
    left = read.texts
    corpus = f"domain {read.domain!r}" if several else "the corpus"
    lost = [f"{read.duplicates} equal to another after the cut"] * bool(read.duplicates)
    lost += [f"{read.short} of fewer than two tokens"] * bool(read.short)
    note = f" (besides {' and '.join(lost)})" if lost else ""
    return (
        f"texts: {corpus} has {left} different text{'s' * (left != 1)}{note}, but splits ask for "
        f"{fit} + {held_out} + {test} = {sum(sizes)}; give a longer corpus or smaller splits"
    )
