"""Files of programs from outside: any Python file, or a run's library, which knows its heads and its texts."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evolve.corpus import read_splits
from evolve.session import attention_cache
from evolve.store.run_dir import RunDir
from fitness.adapter import adapt
from fitness.errors import UserError
from fitness.program import Program, ProgramError


@dataclass(frozen=True)
class ProgramFile:
    """Programs of a file.

    Attributes:
        programs: by name.
        assignment: head -> name of its program, where the file is a library; else None.
        model: identity of the model that the assignment is of, where a run beside the file says so.
        seen_texts: texts of the run beside the file that its programs were made for or chosen on; not to be scored on.
    """

    programs: Mapping[str, Program]
    assignment: Mapping[str, str] | None = None
    model: str | None = None
    seen_texts: tuple[str, ...] = ()


def read_program_file(path: Path) -> ProgramFile:
    """Reads a file of programs; nothing of it is run.

    Raises:
        UserError: where it cannot be read or holds no program.
    """
    if not path.is_file():
        raise UserError(f"score: no file {path}; give a .py file of programs, or a .csv score table")
    try:
        source = path.read_text(encoding="utf-8")
        programs = adapt(source)
    except ProgramError as error:
        line = f", line {error.line}" if error.line else ""
        raise UserError(f"score: {path}{line}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"score: cannot read {path}: {error}") from None
    assignment = _assignment(source, programs)
    run_dir = RunDir(path.parent)
    if assignment is None or not run_dir.config.is_file():
        return ProgramFile(programs, assignment)
    config = run_dir.load_config()
    target = config.target()
    splits = read_splits(config, target, attention_cache(config))
    return ProgramFile(programs, assignment, target.identity, splits.fit + splits.held_out)


def _assignment(source: str, programs: Mapping[str, Program]) -> dict[str, str] | None:
    """Head -> program by the dictionaries PROGRAMS and HEADS of a `library.py`, None where the file has none."""
    found: dict[str, ast.Dict] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict):
            found[node.targets[0].id] = node.value
    if not {"PROGRAMS", "HEADS"} <= found.keys():
        return None
    functions = {
        key.value: value.id
        for key, value in zip(found["PROGRAMS"].keys, found["PROGRAMS"].values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Name)
    }
    return {
        str(key.value): functions[value.value]
        for key, value in zip(found["HEADS"].keys, found["HEADS"].values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Constant) and functions.get(value.value) in programs
    }
