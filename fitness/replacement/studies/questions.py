"""Multiple-choice questions, from local files or from the data sets of the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness.errors import UserError


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        query: what comes before the answer; a space is put between them.
        choices: the answers to choose from, two or more.
        gold: index of the right one.
    """

    query: str
    choices: tuple[str, ...]
    gold: int


@dataclass(frozen=True)
class HubTask:
    """Where a task's questions lie on the hub, and how a row becomes a question.

    Attributes:
        path: the data set.
        config: its configuration, or None.
        question: makes a question of a row of the validation split.
    """

    path: str
    config: str | None
    question: Callable[[dict[str, Any]], Question]


def _clean_hellaswag(text: str) -> str:
    # Brackets such as [title] are left over from the web pages that part of the data set was made of.
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _hellaswag(row: dict[str, Any]) -> Question:
    query = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return Question(_clean_hellaswag(query), tuple(map(_clean_hellaswag, row["endings"])), int(row["label"]))


def _piqa(row: dict[str, Any]) -> Question:
    return Question(f"Question: {row['goal']}\nAnswer:", (row["sol1"], row["sol2"]), int(row["label"]))


def _sciq(row: dict[str, Any]) -> Question:
    wrong = (row["distractor1"], row["distractor2"], row["distractor3"])
    query = f"{row['support'].lstrip()}\nQuestion: {row['question']}\nAnswer:"
    return Question(query, (*wrong, row["correct_answer"]), 3)


def _arc_easy(row: dict[str, Any]) -> Question:
    gold = list(row["choices"]["label"]).index(row["answerKey"])
    return Question(f"Question: {row['question']}\nAnswer:", tuple(row["choices"]["text"]), gold)


def _social_iqa(row: dict[str, Any]) -> Question:
    query = f"Q: {row['context']} {row['question']}\nA:"
    return Question(query, (row["answerA"], row["answerB"], row["answerC"]), int(row["label"]) - 1)


def _copa(row: dict[str, Any]) -> Question:
    link = {"cause": "because", "effect": "therefore"}[row["question"]]
    choices = tuple(choice[0].lower() + choice[1:] for choice in (row["choice1"], row["choice2"]))
    return Question(f"{row['premise'].strip()[:-1]} {link}", choices, int(row["label"]))


HUB_TASKS = {
    "hellaswag": HubTask("Rowan/hellaswag", None, _hellaswag),
    "piqa": HubTask("baber/piqa", None, _piqa),
    "sciq": HubTask("allenai/sciq", None, _sciq),
    "arc_easy": HubTask("allenai/ai2_arc", "ARC-Easy", _arc_easy),
    "social_iqa": HubTask("lighteval/siqa", None, _social_iqa),
    "copa": HubTask("aps/super_glue", "copa", _copa),
}


def read_questions(source: str, limit: int | None = None) -> list[Question]:
    """Reads the questions of one task.

    Args:
        source: a `.jsonl` file of lines `{"query": text, "choices": [text, ...], "gold": index}`, or the name of a task
            on the hub, of which the validation split is read (extra `tasks`).
        limit: the most questions, taken from the beginning; all if None.

    Raises:
        UserError: for an unknown task, a limit below 1, a line that is not a question, a file without any, a hub that
            cannot be reached.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit: at least one question is needed, not {limit}")
    if Path(source).is_file():
        questions = _read_file(Path(source), limit)
    elif source in HUB_TASKS:
        questions = _read_hub(source, limit)
    else:
        raise UserError(f"tasks: no file {source!r}, and no task of that name; known: {', '.join(HUB_TASKS)}")
    if not questions:
        raise UserError(f"tasks: {source} holds no question")
    return questions


def _read_file(path: Path, limit: int | None) -> list[Question]:
    questions: list[Question] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if limit is not None and len(questions) >= limit:
                    break
                if line.strip():
                    questions.append(_parse(line, f"{path}, line {number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"tasks: cannot read {path}: {error}") from None
    return questions


def _parse(line: str, place: str) -> Question:
    wanted = '{"query": text, "choices": [two texts or more], "gold": index of the right one}'
    try:
        row = json.loads(line)
        query, choices, gold = row["query"], row["choices"], row["gold"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"tasks: {place} is not a question; expected {wanted}") from None
    texts = isinstance(query, str) and isinstance(choices, list) and all(isinstance(c, str) and c for c in choices)
    if not texts or len(choices) < 2 or not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise UserError(f"tasks: {place} is not a question; expected {wanted}")
    return Question(query, tuple(choices), gold)


def _read_hub(name: str, limit: int | None) -> list[Question]:
    try:
        import datasets
    except ImportError:
        raise UserError(f"tasks: reading {name} from the hub needs pip install 'headscribe[tasks]'") from None
    task = HUB_TASKS[name]
    try:
        rows = datasets.load_dataset(task.path, task.config, split="validation")
    except Exception as error:  # the hub client raises many kinds, all of which mean the same here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"tasks: the hub data set {task.path} could not be reached: {reason[:200]}") from None
    return [task.question(row) for row in rows.select(range(min(len(rows), limit or len(rows))))]
