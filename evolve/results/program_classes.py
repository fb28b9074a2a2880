"""The classes of a library's programs, measured on held-out texts in the sandbox."""

from __future__ import annotations

from dataclasses import replace

from archives.classes import OTHER, classify, lists_words
from archives.library import ReducedLibrary
from fitness.scoring.pool import Pool, split_evenly
from fitness.scoring.traits import measure_chunk
from fitness.scoring.worker import WorkerSpec


def with_classes(library: ReducedLibrary, pool: Pool, spec: WorkerSpec) -> ReducedLibrary:
    """The library with the class of each of its programs; one that fails on the texts is "other".

    Args:
        library: with sources.
        pool: where programs run.
        spec: attention and texts.
    """
    members = [member for member in library.members if member.program is not None]
    programs = [member.program for member in members if member.program is not None]
    chunks = split_evenly(programs, 2 * pool.workers) if programs else []
    results = pool.run([(measure_chunk, (spec, chunk, "held_out")) for chunk in chunks])
    found = [traits for result in results for traits in result]
    classes = {
        member.id: OTHER if traits is None else classify(traits, lists_words=lists_words(program))
        for member, program, traits in zip(members, programs, found, strict=True)
    }
    return replace(library, classes=classes)
