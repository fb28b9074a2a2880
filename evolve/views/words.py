"""Numbers as people say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fitness.text.corpus import DomainRead, Splits

ROUND_PERCENT, LARGEST_PERCENT = 100, 100_000


def duration(seconds: float) -> str:
    """Seconds as people say them, such as `1 h 02 min` or `48 s`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def times(count: int) -> str:
    """How often, such as `once` or `3 times`."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def with_interval(value: float, interval: Sequence[float | None] | None, *, signed: bool = False) -> str:
    """A number with its interval, such as `0.123 [0.101, 0.145]`."""
    sign = "+" if signed else ""
    if interval is None or any(end is None for end in interval):
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} [" + ", ".join(f"{end:{sign}.3f}" for end in interval) + "]"


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """A change in per cent, without its sign of percentage; short where it is large."""
    return (
        f"{value:+.1f}" if abs(value) < ROUND_PERCENT else f"{value:+,.0f}" if value < LARGEST_PERCENT else "over 1e5"
    )


def moment(time: str) -> str:
    """A time in ISO 8601 as people read it, to the minute.

    Example:
        >>> moment("2026-11-28T22:24:39+00:00")
        '2026-11-28 22:24 UTC'
    """
    return time[:16].replace("T", " ") + (" UTC" if time.endswith("+00:00") else time[19:])


def versions(used: Mapping[str, str | None]) -> str:
    """Versions of software, such as `headscribe 0.1.0 (commit 1234567), python 3.11.7, numpy 2.4.0`."""
    commit = used.get("commit")
    first = f"headscribe {used.get('headscribe')}" + (f" (commit {commit})" if commit else "")
    rest = [f"{name} {version}" for name, version in used.items() if name not in ("headscribe", "commit")]
    return ", ".join([first, *rest])


def texts_lines(splits: Splits, max_tokens: int) -> list[str]:
    """What was read of each domain, such as `texts: stories, 120 of 2000, 7680 tokens, 118 cut to 64 tokens`."""
    return [_texts_line(read, max_tokens) for read in splits.read]


def _texts_line(read: DomainRead, max_tokens: int) -> str:
    said = [f"texts: {read.domain}, {read.texts} of {read.found}, {read.tokens} tokens"]
    said += [f"{read.cut} cut to {max_tokens} tokens"] * bool(read.cut)
    said += [f"{read.duplicates} passed over, equal to another after the cut"] * bool(read.duplicates)
    said += [f"{read.short} passed over, shorter than two tokens"] * bool(read.short)
    return ", ".join(said)
