import json
import sys

import model_zoo
import numpy as np
import pytest
import torch

from fitness.errors import UserError
from fitness.heads import Head
from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement import replacing
from fitness.replacement.measurements import Measurements
from fitness.replacement.sources import Table
from fitness.replacement.studies.choices import answered, encode, log_likelihoods
from fitness.replacement.studies.conditions import HeadPrograms
from fitness.replacement.studies.questions import HUB_TASKS, Question, read_questions
from fitness.replacement.studies.tasks import evaluate_tasks
from fitness.sandbox import Limits, Sandbox

PREVIOUS = Program.parse("def program(text):\n    return 1.0 * (text.distance == 1)\n")
ASSIGNMENT = {Head(layer, head): PREVIOUS for layer in range(3) for head in range(4)}
IOU = dict.fromkeys(ASSIGNMENT, 0.5)
QUESTIONS = [
    Question("The fox dropped his ball into the river. Now the ball is", ("wet.", "made of bread and very old."), 0),
    Question("Question: Who swims well?\nAnswer:", ("a duck", "a stone", "a spoon"), 0),
    Question("It rained all day, so Tom took his", ("umbrella.", "sunglasses and his spade."), 0),
    Question("Ann ate all the cake, therefore", ("the plate was full.", "the plate was empty."), 1),
    Question("To dry a wet dog\n", ("rub it with a towel.", "pour water over it."), 0),
]


@pytest.fixture(scope="module")
def tokenizer():
    return model_zoo.tokenizer()


@pytest.fixture(scope="module")
def model():
    return model_zoo.build("llama")


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n\n")
    return str(path)


def test_local_questions_are_read_in_order_and_limited(tmp_path):
    rows = [{"query": q.query, "choices": q.choices, "gold": q.gold, "more": 1} for q in QUESTIONS]
    source = write(tmp_path / "own.jsonl", *rows)
    assert read_questions(source) == QUESTIONS
    assert read_questions(source, limit=2) == QUESTIONS[:2]


@pytest.mark.parametrize(
    "row",
    [
        "nonsense",
        "[]",
        {"query": "a", "choices": ["b"], "gold": 0},
        {"query": "a", "choices": ["b", "c"], "gold": 2},
        {"query": "a", "choices": ["b", "c"], "gold": "0"},
        {"query": "a", "choices": ["b", ""], "gold": 0},
        {"query": None, "choices": ["b", "c"], "gold": 0},
        {"query": "a", "choices": ["b", "c"]},
    ],
)
def test_lines_that_are_not_questions_are_named(tmp_path, row):
    source = write(tmp_path / "own.jsonl", {"query": "a", "choices": ["b", "c"], "gold": 0}, row)
    with pytest.raises(UserError, match=r"own.jsonl, line 2 is not a question; expected \{\"query\""):
        read_questions(source)


def test_unknown_tasks_and_limits_are_refused(tmp_path):
    with pytest.raises(UserError, match="known: hellaswag, piqa, sciq, arc_easy, social_iqa, copa"):
        read_questions("helaswag")
    with pytest.raises(UserError, match="at least one question"):
        read_questions("copa", limit=0)
    with pytest.raises(UserError, match="holds no question"):
        read_questions(write(tmp_path / "empty.jsonl"))


def test_hub_tasks_need_their_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'headscribe\[tasks\]'"):
        read_questions("copa")


@pytest.mark.parametrize(
    ("task", "row", "expected"),
    [
        (
            "hellaswag",
            {
                "activity_label": "Baking",
                "ctx_a": "A man [step] stirs.",
                "ctx_b": "then he",
                "endings": ["eats [title] it.", "sleeps."],
                "label": "1",
            },
            Question("Baking: A man stirs. Then he", ("eats. it.", "sleeps."), 1),
        ),
        (
            "piqa",
            {"goal": "dry a dog", "sol1": "towel", "sol2": "water", "label": 0},
            Question("Question: dry a dog\nAnswer:", ("towel", "water"), 0),
        ),
        (
            "sciq",
            {
                "support": " Ducks swim.",
                "question": "Who swims?",
                "distractor1": "cat",
                "distractor2": "stone",
                "distractor3": "cup",
                "correct_answer": "duck",
            },
            Question("Ducks swim.\nQuestion: Who swims?\nAnswer:", ("cat", "stone", "cup", "duck"), 3),
        ),
        (
            "arc_easy",
            {"question": "Who?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"},
            Question("Question: Who?\nAnswer:", ("x", "y"), 1),
        ),
        (
            "social_iqa",
            {"context": "Ann fell.", "question": "Why?", "answerA": "a", "answerB": "b", "answerC": "c", "label": "3"},
            Question("Q: Ann fell. Why?\nA:", ("a", "b", "c"), 2),
        ),
        (
            "copa",
            {"premise": "It rained.", "question": "effect", "choice1": "We got wet.", "choice2": "Fire.", "label": 0},
            Question("It rained therefore", ("we got wet.", "fire."), 0),
        ),
    ],
)
def test_rows_of_the_hub_become_questions(task, row, expected):
    assert HUB_TASKS[task].question(row) == expected


def test_hub_rows_are_read_through_datasets(monkeypatch):
    class Rows(list):
        def select(self, indices):
            return [self[index] for index in indices]

    class Datasets:
        @staticmethod
        def load_dataset(path, config, split):
            assert (path, config, split) == ("aps/super_glue", "copa", "validation")
            row = {"premise": "It rained.", "question": "cause", "choice1": "A.", "choice2": "B.", "label": 1}
            return Rows([row] * 3)

    monkeypatch.setitem(sys.modules, "datasets", Datasets)
    assert read_questions("copa", limit=2) == [Question("It rained because", ("a.", "b."), 1)] * 2
    monkeypatch.setattr(Datasets, "load_dataset", staticmethod(lambda *_, **__: 1 / 0))
    with pytest.raises(UserError, match="could not be reached: division by zero"):
        read_questions("copa")


def by_hand(model, tokenizer, question, choice):
    """Log-likelihood of a choice, one row, no padding."""
    query = tokenizer(question.query.rstrip())["input_ids"]
    ids = tokenizer(f"{question.query} {choice}")["input_ids"]
    with torch.no_grad():
        log_probabilities = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
    return sum(float(log_probabilities[place - 1, ids[place]]) for place in range(len(query), len(ids)))


@pytest.mark.parametrize("assignment", [{}, ASSIGNMENT])
def test_likelihoods_in_batches_are_those_of_single_rows(model, tokenizer, assignment):
    kept, choices = encode(QUESTIONS, tokenizer, 128)
    source, reader = model_zoo.run_directly(), Reader(tokenizer)
    found = log_likelihoods(model, reader, source, choices, {"it": assignment})["it"]
    with replacing(model, assignment, reader, source):
        expected = [
            by_hand(model, tokenizer, question, choice) for question in QUESTIONS for choice in question.choices
        ]
    assert kept == QUESTIONS
    assert np.allclose(found, expected, atol=1e-4)


def test_long_queries_lose_their_beginning_but_not_the_begin_token(tokenizer):
    question = Question("very long " * 30 + "and then", ("he slept.", "no."), 0)
    (kept, choices), (_, whole) = encode([question], tokenizer, 40), encode([question], tokenizer, None)
    assert kept == [question]
    for short, long in zip(choices, whole, strict=True):
        assert len(short.ids) == 40
        assert short.cut
        assert not long.cut
        assert short.ids[0] == tokenizer.bos_token_id
        assert short.ids[1:] == long.ids[-39:]
        assert short.scored == long.scored


def test_questions_whose_choices_do_not_fit_are_left_out(tokenizer):
    long = Question("Then", ("no.", "very " * 50), 0)
    kept, choices = encode([long, QUESTIONS[0]], tokenizer, 40)
    assert kept == [QUESTIONS[0]]
    assert {choice.question for choice in choices} == {0}


def test_normalised_likelihood_is_a_character():
    questions = [Question("q", ("ab", "abcdef"), 1), Question("q", ("a", "b", "c"), 2)]
    likelihoods = np.array([-2.0, -3.0, -1.0, -2.0, -0.5])
    assert answered(questions, likelihoods, normalised=False).tolist() == [False, True]
    assert answered(questions, likelihoods, normalised=True).tolist() == [True, True]


def evaluate(model, tokenizer, **options):
    def make_sandbox():
        return Sandbox([], mode="degraded", limits=Limits(cpu_seconds=5))

    options = {"seed": 0, "fractions": [0, 0.5, 1]} | options
    tasks = options.pop("tasks", {"own": QUESTIONS})
    table = Table("mean_table", lambda n: np.eye(n), 64)
    assignment = options.pop("assignment", ASSIGNMENT)
    explanation = HeadPrograms(assignment, IOU, fitted={"mean_table": dict.fromkeys(assignment, table)})
    return evaluate_tasks(model, tokenizer, tasks, explanation, make_sandbox, **options)


def test_tasks_are_plain_json_with_chance_and_errors(model, tokenizer):
    result = evaluate(model, tokenizer)
    assert json.loads(json.dumps(result)) == result
    task = result["tasks"]["own"]
    assert task["chance"] == pytest.approx((4 / 2 + 1 / 3) / 5)
    assert task["questions"] == 5
    assert [row["heads"] for row in task["by_fraction"]] == [0, 6, 12]
    assert task["by_fraction"][0]["programs"] == task["by_fraction"][0]["uniform"] == task["original"]
    for control in ("programs", "mean_table", "zero", "uniform", "first_token", "random_programs"):
        found = task["by_fraction"][2][control]
        share = found["accuracy"]
        assert found["standard_error"] == pytest.approx(np.sqrt(share * (1 - share) / 4))
        assert found["difference"] == pytest.approx(share - task["original"]["accuracy"])
    assert result["identity"]["exact"]


def test_accuracy_with_heads_replaced_is_that_of_the_replaced_model(model, tokenizer):
    found = evaluate(model, tokenizer)["tasks"]["own"]["by_fraction"][2]["programs"]
    with replacing(model, ASSIGNMENT, Reader(tokenizer), model_zoo.run_directly()):
        scores = [[by_hand(model, tokenizer, q, choice) / len(choice) for choice in q.choices] for q in QUESTIONS]
    expected = np.mean([int(np.argmax(s)) == q.gold for s, q in zip(scores, QUESTIONS, strict=True)])
    assert found["accuracy"] == pytest.approx(expected)


def test_some_controls_can_be_chosen_and_give_the_same_accuracies(model, tokenizer):
    every = evaluate(model, tokenizer)["tasks"]["own"]["by_fraction"][-1]
    some = evaluate(model, tokenizer, only=["uniform"])["tasks"]["own"]["by_fraction"][-1]
    assert set(some) == {"fraction", "heads", "programs", "uniform"}
    assert some["uniform"] == every["uniform"]
    with pytest.raises(UserError, match="no 'unifrom' here; did you mean 'uniform'"):
        evaluate(model, tokenizer, only=["unifrom"])


def test_interrupted_tasks_go_on_and_read_nothing_twice(model, tokenizer, tmp_path):
    whole = evaluate(model, tokenizer)
    evaluate(model, tokenizer, tasks={"own": QUESTIONS[:3]}, kept=Measurements(tmp_path / "kept"))
    assert evaluate(model, tokenizer, kept=Measurements(tmp_path / "kept")) == whole
    before = (tmp_path / "kept").read_bytes()
    assert evaluate(model, tokenizer, kept=Measurements(tmp_path / "kept")) == whole
    assert (tmp_path / "kept").read_bytes() == before


def test_what_cannot_be_scored_is_refused(model, tokenizer):
    with pytest.raises(UserError, match="needs a causal model"):
        evaluate(model_zoo.build("bert"), tokenizer)
    with pytest.raises(UserError, match="nothing to replace"):
        evaluate(model, tokenizer, assignment={})
    with pytest.raises(UserError, match="no question of own fits"):
        evaluate(model, tokenizer, tasks={"own": [Question("a", ("very " * 200, "no"), 0)]})


def test_accuracies_equal_those_of_lm_eval(tmp_path):
    lm_eval = pytest.importorskip("lm_eval", reason="lm_eval is not installed")
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from fitness.models.loading import context_length, load_model

    rows = [{"query": q.query, "choices": q.choices, "gold": q.gold} for q in QUESTIONS]
    questions = write(tmp_path / "own.jsonl", *rows)
    task = {
        "task": "own",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"validation": questions}},
        "output_type": "multiple_choice",
        "validation_split": "validation",
        "doc_to_text": "{{query}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    folder = str(model_zoo.save("llama", tmp_path / "model"))
    model, tokenizer = load_model(folder)
    theirs = lm_eval.simple_evaluate(
        model=HFLM(pretrained=folder, add_bos_token=True, device="cpu", dtype="float32"),
        tasks=[task],
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )["results"]["own"]
    kept, choices = encode(QUESTIONS, tokenizer, context_length(model, tokenizer))
    found = log_likelihoods(model, Reader(tokenizer), model_zoo.run_directly(), choices, {"it": {}})["it"]
    assert answered(kept, found, normalised=False).mean() == pytest.approx(theirs["acc,none"])
    assert answered(kept, found, normalised=True).mean() == pytest.approx(theirs["acc_norm,none"])
