"""What a library is about and how good it is, in a few lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from archives.bootstrap import Estimate
from archives.library import ReducedLibrary
from fitness.printable import one_line


def about(library: ReducedLibrary) -> list[str]:
    """One line for each model, for its texts, and for the IoU of the library."""
    return [*subject(library.provenance), *_worth(library)]


def subject(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the models and texts of a provenance; none where it does not know them.

    Example:
        >>> facts = {"name": "gpt2", "identity": "gpt2@607a::float32", "revision": "607a"}
        >>> facts |= {"heads": 144, "dtype": "float32", "quantised": None}
        >>> texts = [{"domain": "stories", "texts": 80, "tokens": 5120, "sha256": "ab" * 32}]
        >>> splits = {"fit": 20, "held_out": 30, "test": 30}
        >>> for line in subject({"model": facts, "texts": texts, "splits": splits, "max_tokens": 64}):
        ...     print(line)
        Model: gpt2, 144 heads, float32 (gpt2@607a::float32)
        Texts: stories (80 of at most 64 tokens, 5120 in all; SHA-256 abababababab)
        Splits: 20 fit, 30 held-out and 30 test texts of each domain
    """
    for name, run in provenance.get("runs", {}).items():
        yield f"Run {one_line(name)}"
        yield from subject(run)
    for facts in provenance.get("files", {}).values():
        yield f"Scores: {one_line(facts['file'])} (SHA-256 {facts['sha256'][:12]})"
    model = provenance.get("model")
    if model is None:
        return
    name = model["name"] if model.get("file") in (None, model["name"]) else f"{model['name']}/{model['file']}"
    how = f", {model['quantised']}" if model["quantised"] else ""
    identity = model["identity"] if model.get("revision") else model["identity"][:12]
    yield one_line(f"Model: {name}, {model['heads']} heads, {model['dtype']}{how} ({identity})")
    for texts in provenance["texts"]:
        counts = f"{texts['texts']} of at most {provenance['max_tokens']} tokens, {texts['tokens']} in all"
        yield one_line(f"Texts: {texts['domain']} ({counts}; SHA-256 {texts['sha256'][:12]})")
    splits = provenance["splits"]
    yield f"Splits: {splits['fit']} fit, {splits['held_out']} held-out and {splits['test']} test texts of each domain"


def _worth(library: ReducedLibrary) -> Iterator[str]:
    split, scores = ("held-out", library.held_out) if library.test is None else ("test", library.test)
    yield f"Mean IoU on {split} texts: {in_words(scores.mean)}"
    gain = library.reference
    if gain is not None:
        over = in_words(gain.gain, "+.3f")
        yield f"Reference, which knows no text: {gain.other.value:.3f}; gain over it {over}"


def in_words(estimate: Estimate, form: str = ".3f") -> str:
    """A number with its interval in brackets, where it has one."""
    if estimate.low is None or estimate.high is None:
        return format(estimate.value, form)
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
