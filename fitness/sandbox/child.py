"""A program's own process: confines itself, then checks, compiles and runs the program, and reports."""

from __future__ import annotations

import ast
import gc
import hashlib
import mmap
import os
import signal
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fitness.failures import FailureKind
from fitness.program import ENTRY, ProgramError, parse_tree
from fitness.sandbox.buffer import Buffer, Report
from fitness.sandbox.confine import Confinement
from fitness.sandbox.namespace import Namespace
from fitness.sandbox.outcome import Layers, Limits
from fitness.sandbox.shuffle import Shuffle
from fitness.sandbox.static_check import check_source
from fitness.scoring.contract import ContractError
from fitness.text.view import Text

FILENAME = "<program>"
# Ends a child that could not confine itself; a confined program cannot send signals, so it cannot pretend this.
NOT_CONFINED = signal.SIGUSR1


@dataclass(frozen=True)
class Job:
    """One program to run.

    Attributes:
        source: the program.
        seed: what its random numbers depend on beside the text.
        texts: the texts asked for.
        nonce: 16 bytes that mark this run's report.
        limits: CPU time and memory.
        layers: what holds the program.
        memory: bytes of address space that the server has.
        shuffle: a number by which memory is laid out and filled in another way, or None.
    """

    source: str
    seed: str
    texts: Sequence[Text]
    nonce: bytes
    limits: Limits
    layers: Layers
    memory: int
    shuffle: int | None = None


def run_child(
    job: Job, buffer: Buffer, ballast: mmap.mmap, confinement: Confinement, namespace: Namespace, server: int
) -> None:
    """Runs a job in this process, a fresh fork of the server; never returns.

    Args:
        job: what to run.
        buffer: where results go.
        ballast: address space that is given back when there is no more.
        confinement: what holds the program.
        namespace: the names it finds.
        server: process id of the server.
    """
    try:
        confinement.enter_child(server, job.limits, memory=job.memory, kernel=job.layers.kernel)
    except BaseException as error:  # nothing may go on unconfined
        buffer.write_report(job.nonce, Report(FailureKind.EXCEPTION, f"not confined: {error}"))
        os.kill(os.getpid(), NOT_CONFINED)
        os._exit(1)
    report = Report(FailureKind.MEMORY, "more memory than allowed")
    try:
        shuffle = None if job.shuffle is None else Shuffle(job.shuffle)
        runner = Runner(job.source, job.seed, namespace, static=job.layers.static, shuffle=shuffle)
        report = runner.run(job.texts, buffer.writer([text.n for text in job.texts]))
    except BaseException as error:  # whatever a program raises, even from the formatting of what it raised
        ballast.close()
        if not isinstance(error, MemoryError):
            report = Report(FailureKind.EXCEPTION, "an exception that cannot be described")
    gc.disable()
    buffer.write_report(job.nonce, report)
    os._exit(0)


class Runner:
    """Compiles a program once and runs it on texts; each text meets fresh globals and its own random numbers."""

    def __init__(
        self, source: str, seed: str, namespace: Namespace, *, static: bool, shuffle: Shuffle | None = None
    ) -> None:
        self._source = source
        self._seed = seed
        self._namespace = namespace
        self._static = static
        self._shuffle = shuffle

    def run(self, texts: Sequence[Text], store: Callable[[int, np.ndarray], None]) -> Report:
        """Calls the program for every text; its failure is the report's content."""
        position = None
        try:
            tree = parse_tree(self._source)
            if self._static:
                check_source(tree, guard=True)
            code = _compile(tree)
            for position, text in enumerate(texts):
                store(position, self._weights(code, text))
        except ProgramError as error:
            return Report(error.kind, str(error), error.line)
        except ContractError as error:
            return Report(error.kind, str(error), text=position)
        except MemoryError as error:
            return Report(FailureKind.MEMORY, "more memory than allowed", _line_of(error), position)
        except SystemExit as error:
            return Report(FailureKind.EARLY_EXIT, "ended with SystemExit", _line_of(error), position)
        except BaseException as error:
            return Report(FailureKind.EXCEPTION, _describe(error), _line_of(error), position)
        return Report()

    def _weights(self, code: types.CodeType, text: Text) -> np.ndarray:
        if self._shuffle:
            self._shuffle.again()
        names = self._namespace.globals(partial(self._entropy, text))
        exec(code, names)
        entry = names.get(ENTRY)
        if entry is None:
            raise ProgramError(FailureKind.REJECTED, f"defines no function `{ENTRY}(text)`")
        return as_weights(entry(text), text.n)

    def _entropy(self, text: Text) -> int:
        digest = hashlib.sha256(f"{self._seed}\0{text.string}\0{text.n}".encode("utf-8", "replace"))
        return int.from_bytes(digest.digest()[:16], "little")


def as_weights(returned: object, n: int) -> np.ndarray:
    """The (n, n) float64 weights that a program returned.

    Raises:
        ContractError: where it is not an (n, n) array of real numbers.
    """
    if not isinstance(returned, (np.ndarray, list, tuple)):
        message = f"returned {type(returned).__name__}, expected an array of shape {(n, n)}"
        raise ContractError(FailureKind.BAD_SHAPE, message)
    try:
        weights = np.asarray(returned)
    except ValueError:
        message = f"returned rows of different lengths, expected shape {(n, n)}"
        raise ContractError(FailureKind.BAD_SHAPE, message) from None
    if weights.shape != (n, n):
        raise ContractError(FailureKind.BAD_SHAPE, f"returned shape {weights.shape}, expected {(n, n)}")
    if weights.dtype.kind not in "biuf":
        raise ContractError(FailureKind.BAD_VALUES, f"returned elements of type {weights.dtype}, expected real numbers")
    # Programs may have asked numpy to raise where precision is lost.
    with np.errstate(all="ignore"):
        return weights.astype(np.float64)


def _compile(tree: ast.Module) -> types.CodeType:
    try:
        return compile(tree, FILENAME, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ProgramError(FailureKind.SYNTAX, error.msg, error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise ProgramError(FailureKind.SYNTAX, str(error) or "nested too deeply") from None


def _line_of(error: BaseException) -> int | None:
    """The last line of the program that was running."""
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == FILENAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _describe(error: BaseException) -> str:
    text = str(error)[:1000]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
