"""Scoring a program of one's own: IoU with every head on every text, and its prediction."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fitness.errors import UserError
from fitness.program import Program, ProgramError
from fitness.sandbox import Sandbox, SandboxUnavailable
from fitness.scoring.contract import to_prediction
from fitness.scoring.threads import one_thread
from fitness.scoring.worker import Worker, WorkerSpec
from fitness.text.view import Text
from headscribe.heads import HeadName, label_of
from headscribe.tables import data_frame, html_table

if TYPE_CHECKING:
    import pandas

    from fitness.models.attention import Attention

Split = Literal["fit", "held_out"]


@dataclass(frozen=True, eq=False)
class Scores:
    r"""How well one program explains each head on each text.

    Attributes:
        values: (heads, texts) float32 IoU in [0, 1].
        heads: names of the heads, in the order of the rows.
        texts: beginnings of the texts, in the order of the columns.
        program: the program.

    Example:
        >>> scores = run.score("def program(text):\n    return 1.0 * (text.distance == 1)")
        >>> scores.values.shape == (len(scores.heads), len(scores.texts))
        True
        >>> bool(scores["L0H0"] == scores.values[0].mean(dtype=float))
        True
    """

    values: np.ndarray
    heads: tuple[str, ...]
    texts: tuple[str, ...]
    program: Program

    @property
    def means(self) -> np.ndarray:
        """(heads,) float64 mean IoU over texts, in [0, 1]."""
        return self.values.mean(axis=1, dtype=np.float64)

    @property
    def mean(self) -> float:
        """Mean IoU over heads and texts, in [0, 1]."""
        return float(self.means.mean())

    @property
    def best_head(self) -> str:
        """Name of the head that the program explains best."""
        return self.heads[int(self.means.argmax())]

    def to_frame(self) -> pandas.DataFrame:
        """A data frame of IoU in [0, 1]: one row per head, one column per text.

        Raises:
            UserError: where pandas is not installed.
        """
        return data_frame({column: self.values[:, column] for column in range(len(self.texts))}, self.heads)

    def __getitem__(self, head: HeadName) -> float:
        return float(self.means[self.heads.index(label_of(head, self.heads))])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return (
            f"Scores({len(self.heads)} heads, {len(self.texts)} texts: mean IoU {self.mean:.3f}, "
            f"best {self[self.best_head]:.3f} on {self.best_head})"
        )

    def _repr_html_(self) -> str:
        order = np.argsort(-self.means, kind="stable")
        return html_table(
            repr(self), ["head", "mean IoU"], [[self.heads[row], float(self.means[row])] for row in order]
        )


class Scorer:
    """Runs programs on captured attention, in a sandbox that `close` ends; may be used from any thread.

    Args:
        attention: the model's attention on the texts.
        spec: which of them belong to which split, and how programs are confined.
    """

    def __init__(self, attention: Attention, spec: WorkerSpec) -> None:
        self._attention = attention
        self._spec = spec
        self._worker: Worker | None = None
        self._lock = threading.Lock()

    def score(self, program: str | Program, split: Split) -> Scores:
        """IoU of a program with every head on the texts of a split.

        Raises:
            ProgramError: where it is not a program, or fails on a text.
        """
        parsed = program if isinstance(program, Program) else Program.parse(program)
        with self._lock, one_thread():
            found = self._open().evaluate(parsed, split)
        if found.scores is None:
            raise _failed(found.kind, found.message, found.line, found.text)
        texts = self._attention.texts[self._range(split)]
        return Scores(found.scores, self._attention.labels, tuple(text.string[:60] for text in texts), parsed)

    def predict(self, program: str | Program, split: Split) -> list[np.ndarray]:
        """(n, n) float32 prediction of a program on each text of a split; rows sum to 1, or are empty.

        Raises:
            ProgramError: where it is not a program, or fails on a text.
        """
        parsed = program if isinstance(program, Program) else Program.parse(program)
        with self._lock:
            outcome = self._open().run(parsed, split)
        if not outcome.ok:
            raise _failed(outcome.kind, outcome.message, outcome.line, outcome.text)
        return [to_prediction(weights, causal=self._attention.causal) for weights in outcome.weights]

    def close(self) -> None:
        """Ends the sandbox; scoring again starts another."""
        with self._lock:
            if self._worker is not None:
                self._worker.close()
                self._worker = None

    def _open(self) -> Worker:
        if self._worker is None:
            self._worker = Worker(self._spec)
        return self._worker

    def _range(self, split: Split) -> slice:
        spec = self._spec
        return slice(0, spec.fit) if split == "fit" else slice(spec.fit, spec.fit + spec.held_out)


def score(
    program: str | Program,
    *,
    model: str,
    texts: str = "stories",
    max_tokens: int = 64,
    limit: int = 32,
    sandbox: Literal["strict", "degraded"] = "strict",
) -> Scores:
    r"""Scores a program on the heads of a model, without a campaign.

    The score is the IoU of Hayes, Li and Andreas (2026, arXiv 2606.19317) after this project's contract: the prediction
    is masked where the model is causal, and its rows sum to 1 (docs/paper.md names the differences).

    Args:
        program: source of a function `program(text)` that returns (n, n) non-negative weights, or a `Program`.
        model: a folder in Hugging Face format, the name of a bundled model, or a name on the hub.
        texts: what a configuration takes: "stories", or a file.
        max_tokens: length to which texts are cut, in tokens.
        limit: the most texts.
        sandbox: "strict", or "degraded" at one's own risk where the kernel cannot confine programs.

    Returns:
        (heads, texts) IoU in [0, 1], with the heads' names.

    Raises:
        UserError: for a model or texts that cannot be read.
        ProgramError: where the source is not a program, or fails on a text.

    Example:
        >>> previous = "def program(text):\n    return text.distance == 1"
        >>> hs.score(previous, model="storyteller-gpt2", max_tokens=24, limit=5).values.shape
        (32, 5)
    """
    from evolve.results.scores import scoring_config
    from evolve.session import captured

    attention, spec, _ = captured(scoring_config(model, texts, max_tokens=max_tokens, limit=limit, sandbox=sandbox))
    scorer = Scorer(attention, spec)
    try:
        return scorer.score(program, "held_out")
    finally:
        scorer.close()


def predict(program: Program, tokens: Sequence[str], *, causal: bool) -> np.ndarray:
    """(n, n) float32 prediction of a program on a text of n tokens, run in a sandbox of its own.

    Raises:
        ProgramError: where it fails on the text.
        UserError: where programs cannot be confined here.
    """
    try:
        with Sandbox([Text(tokens)]) as sandbox:
            outcome = sandbox.run(program)
    except SandboxUnavailable as error:
        raise UserError(str(error)) from None
    if not outcome.ok:
        raise _failed(outcome.kind, outcome.message, outcome.line, outcome.text)
    return to_prediction(outcome.weights[0], causal=causal)


def _failed(kind: Any, message: str, line: int | None, text: int | None) -> ProgramError:
    where = [f"line {line}"] if line else []
    where += [] if text is None else [f"text {text}"]
    return ProgramError(kind, f"{kind}: {message}" + (f" ({', '.join(where)})" if where else ""), line)
