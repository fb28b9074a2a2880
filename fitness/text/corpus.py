"""Reading texts and dividing them into splits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitness.errors import UserError

DEMO = Path(__file__).parents[1] / "demo"


@dataclass(frozen=True)
class Splits:
    """Which texts serve what; the three share no text.

    Attributes:
        fit: texts that operators see.
        held_out: texts that give fitness.
        test: texts that reports read, once.
    """

    fit: tuple[str, ...]
    held_out: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Texts of fit, held_out and test, in this order."""
        return self.fit + self.held_out + self.test


def demo_path(name: str) -> Path | None:
    """The bundled model folder or text file of this name, such as `storyteller-gpt2` or `stories`, or None."""
    for candidate in (DEMO / name, DEMO / f"{name}.txt"):
        if re.fullmatch(r"[\w-]+", name) and candidate.exists():
            return candidate
    return None


def read_texts(source: str) -> list[str]:
    """Reads a corpus.

    Args:
        source: a `.txt` file of blank-line separated texts, a `.json` list of strings, the name of a bundled corpus
            (`stories`), or a hub data set (`owner/name`, its `train` split, column `text`; extra `tasks`).

    Returns:
        Different texts in their order, surrounding white space removed.

    Raises:
        UserError: where there is no such corpus, it cannot be read, or it holds no text.
    """
    path = Path(source)
    if not path.exists():
        path = demo_path(source) or path
    if path.is_file():
        texts = _read_file(path)
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", source) and path.suffix not in (".txt", ".json"):
        texts = _read_hub(source)
    else:
        raise UserError(
            f"texts: no file {source!r}; give a .txt or .json file, `stories`, or a hub data set owner/name"
        )
    different = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not different:
        raise UserError(f"texts: {source} holds no text; a .txt corpus has its texts separated by blank lines")
    return different


def split_texts(texts: list[str], *, fit: int, held_out: int, test: int, seed: int) -> Splits:
    """Divides different texts at random.

    Raises:
        UserError: where there are fewer texts than asked for.
    """
    needed = fit + held_out + test
    if len(texts) < needed:
        raise UserError(
            f"texts: the corpus has {len(texts)} different text{'s' * (len(texts) != 1)}, but splits ask for "
            f"{fit} + {held_out} + {test} = {needed}; give a longer corpus or smaller splits"
        )
    order = np.random.default_rng((seed, 0x5917)).permutation(len(texts))
    picked = [texts[index] for index in order[:needed]]
    return Splits(tuple(picked[:fit]), tuple(picked[fit : fit + held_out]), tuple(picked[fit + held_out :]))


def _read_file(path: Path) -> list[str]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"texts: cannot read {path}: {error}") from None
    if path.suffix != ".json":
        return re.split(r"\n\s*\n", content)
    try:
        texts = json.loads(content)
    except json.JSONDecodeError as error:
        raise UserError(f"texts: {path} is not JSON: {error}") from None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"texts: {path} must hold one JSON list of strings")
    return texts


def _read_hub(name: str) -> list[str]:
    try:
        import datasets
    except ImportError:
        raise UserError(f"texts: reading {name} from the hub needs `pip install headscribe[tasks]`") from None
    try:
        rows = datasets.load_dataset(name, split="train", streaming=True)
        return [str(row["text"]) for row in rows.take(5000)]
    except Exception as error:  # the hub client raises many kinds, all of which mean the same here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"texts: the hub data set {name} could not be reached: {reason[:200]}") from None
