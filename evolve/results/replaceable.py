"""What `replace` and `tasks` share: a finished run, its model, and the programs of its heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archives.compare import read_library_json
from evolve.config import Config, model_path
from evolve.listeners import Listener
from evolve.run_dir import RunDir
from evolve.session import captured
from fitness.errors import UserError
from fitness.heads import Head
from fitness.program import Program
from fitness.sandbox import Limits, Sandbox
from fitness.text.view import Text


@dataclass(frozen=True)
class Replaceable:
    """A finished run, ready for its programs to take the place of heads.

    Attributes:
        run_dir: where it lies.
        config: what it was asked.
        assignment: (layer, head) -> program of the library.
        head_iou: (layer, head) -> held-out IoU of that program.
        held_out: held-out texts.
        test: test texts.
    """

    run_dir: RunDir
    config: Config
    assignment: dict[Head, Program]
    head_iou: dict[Head, float]
    held_out: tuple[Text, ...]
    test: tuple[Text, ...]

    def sandbox(self) -> Sandbox:
        """An empty sandbox with the run's limits."""
        settings = self.config.sandbox
        return Sandbox([], mode=settings.mode, limits=Limits(settings.cpu_seconds, settings.memory_mb))

    def load_model(self) -> tuple[Any, Any]:
        """Model and tokenizer."""
        from fitness.models.loading import load_model

        return load_model(model_path(self.config.model), attention="sdpa")


def open_replaceable(path: Path, listener: Listener | None = None) -> Replaceable:
    """Opens a run that has a library.

    Raises:
        UserError: where there is none yet.
    """
    run_dir = RunDir(path)
    config = run_dir.load_config()
    library = read_library_json(run_dir.file("library.json"))
    sources = {entry["id"]: entry["source"] for entry in library["programs"]}
    assigned = {label: line for label, line in library["assignment"].items() if line["program"]}
    if not assigned:
        raise UserError(f"{path}: the library assigns no program to any head")
    attention, spec, _ = captured(config, listener)
    begin, end = spec.fit, spec.fit + spec.held_out
    programs = {name: Program.parse(source) for name, source in sources.items()}
    return Replaceable(
        run_dir,
        config,
        {Head.parse(label): programs[line["program"]] for label, line in assigned.items()},
        {Head.parse(label): line["iou_held_out"] for label, line in assigned.items()},
        attention.texts[begin:end],
        attention.texts[end : end + spec.test],
    )
