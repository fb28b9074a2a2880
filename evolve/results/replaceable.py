"""What `replace` and `tasks` share: a finished run, its model, its programs and what stands beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archives.compare import read_library_json
from evolve.config import Config
from evolve.listeners import Listener
from evolve.results.found import Found, load_found
from evolve.results.provenance import provenance_of
from evolve.session import opened_for_reading
from evolve.store.readings import recorder_at
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.heads import Head
from fitness.program import Program
from fitness.replacement.measurements import Measurements
from fitness.replacement.studies.bench import SplitTexts
from fitness.replacement.studies.conditions import HeadPrograms
from fitness.replacement.studies.fitted import fitted_sources
from fitness.sandbox import Limits, Sandbox

ATTENTION: Literal["eager", "sdpa"] = "sdpa"


@dataclass(frozen=True)
class Replaceable:
    """A finished run, ready for its programs to take the place of heads.

    Attributes:
        run_dir: where it lies.
        config: what it was asked.
        explanation: the library's programs, and what is fitted beside them on the fit texts.
        texts: the run's texts by split.
        attention: name of the folder of captured attention, which stands for the model's weights and the texts.
        provenance: what the run is about.
    """

    run_dir: RunDir
    config: Config
    explanation: HeadPrograms
    texts: SplitTexts
    attention: str
    provenance: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hash of the model, the texts, the seed and each head's program: of equal ones, results stand side by side."""
        programs = {head.label: program.id for head, program in self.explanation.assignment.items()}
        parts = json.dumps([self.attention, self.config.seed, programs], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def sandbox(self) -> Sandbox:
        """An empty sandbox with the run's limits."""
        settings = self.config.sandbox
        return Sandbox([], mode=settings.mode, limits=Limits(settings.cpu_seconds, settings.memory_mb))

    def load_model(self) -> tuple[Any, Any]:
        """Model and tokenizer."""
        from fitness.models.loading import load_model

        return load_model(self.config.target(), attention=ATTENTION)

    def note_test_reading(self, command: str) -> None:
        """Writes down, before it happens, that a command reads the test texts.

        Raises:
            UserError: where the run's database cannot be written.
        """
        recorder_at(self.run_dir.database, command)(len(self.explanation.library))

    def measurements(self, name: str) -> Measurements:
        """What an interrupted or earlier command has measured, in a file of the run directory."""
        return Measurements(self.run_dir.file(name), f"{self.attention} {ATTENTION}")


def open_replaceable(path: Path, listener: Listener | None = None) -> Replaceable:
    """Opens a run that has a library.

    Raises:
        UserError: where there is none yet.
    """
    run_dir = RunDir(path)
    run_dir.load_config()
    library = read_library_json(run_dir.file("library.json"))
    assigned = {label: line for label, line in library["assignment"].items() if line["program"]}
    if not assigned:
        raise UserError(f"{path}: the library assigns no program to any head")
    with opened_for_reading(run_dir, listener) as session:
        spec, attention, found = session.spec, session.attention, load_found(session.store)
        heads = {label: Head.parse(label) for label in assigned}
        programs = {entry["id"]: Program.parse(entry["source"]) for entry in library["programs"]}
        single = found.programs([library["single_best"]]) if library["single_best"] else {}
        begin, end = spec.fit, spec.fit + spec.held_out
        explanation = HeadPrograms(
            assignment={heads[label]: programs[line["program"]] for label, line in assigned.items()},
            head_iou={heads[label]: line["iou_held_out"] for label, line in assigned.items()},
            library=tuple(programs.values()),
            single=next(iter(single.values()), None),
            fitted=fitted_sources(attention, range(spec.fit), heads.values()),
            classes={entry["id"]: entry["class"] for entry in library["programs"] if entry.get("class")},
            pair_iou=_pair_iou(found),
        )
        texts = SplitTexts(attention.texts[:begin], attention.texts[begin:end], attention.texts[end : end + spec.test])
        about = provenance_of(session.store)
        return Replaceable(run_dir, session.config, explanation, texts, Path(attention.folder).name, about)


def _pair_iou(found: Found) -> dict[tuple[str, Head], float]:
    """(program id, head) -> held-out IoU of every program of the campaign on every head."""
    heads = [Head.parse(label) for label in found.table.heads]
    means = found.table.means
    return {
        (name, head): float(means[row, column])
        for column, name in enumerate(found.table.programs)
        for row, head in enumerate(heads)
    }
