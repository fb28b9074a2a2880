import ast
import re

import numpy as np
import pytest
from fit_scene import HEADS, fit_iou, make_view, program, request, shared

from fitness.program import Program
from operators import residual
from operators.residual import MAX_TERMS, Residual, prune
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.log_linear import LogLinear, Term, read, write

LOOP = Program.parse(
    "def program(text):\n    w = np.zeros((text.n, text.n))\n    for i in range(text.n):\n"
    "        for j in range(i + 1):\n            w[i, j] = 1.0\n    return w\n"
)


@pytest.fixture(scope="module")
def view():
    return shared()[0]


def _best(view, head, *parents, seed=(0, 0)):
    """The best of what is proposed for a head, on fit."""
    proposals = Residual().propose(request(head, *parents, seed=seed), view)
    return max(proposals, key=lambda proposal: fit_iou(view, proposal, head))


@pytest.mark.parametrize("head", HEADS)
def test_from_scratch_it_finds_what_a_head_does(view, head):
    assert fit_iou(view, _best(view, head), head) > 0.75


def test_what_is_found_is_one_exponential_of_a_few_patterns(view):
    for proposal in Residual().propose(request("L0H1"), view):
        terms = read(ast.parse(proposal.source))
        assert terms
        assert "text.is_name" in [term.source for term in terms]


def test_a_longer_program_comes_with_a_shorter_one(view):
    found = [Residual().propose(request("L0H2", seed=(0, seed)), view) for seed in range(6)]
    lengths = [[len(read(ast.parse(each.source))) for each in proposals] for proposals in found]
    assert any(len(pair) == 2 and pair[1] < pair[0] for pair in lengths)


def test_a_parent_of_this_kind_is_varied_and_gains(view):
    parent = Program.parse(
        "def program(text):\n    scores = 0.5 * text.is_comma - 0.1 * text.log_distance\n    return np.exp(scores)\n"
    )
    gains = []
    for seed in range(6):
        for proposal in Residual().propose(request("L0H1", parent, seed=(0, seed)), view):
            gains.append(fit_iou(view, proposal, "L0H1") - fit_iou(view, parent, "L0H1"))
    assert gains
    assert min(gains) > 0


def test_a_parent_of_another_kind_is_multiplied(view):
    parent = program("1.0 * (text.distance == 1) + 0.1 * (text.distance >= 0)")
    found = [Residual().propose(request("L0H0", parent, seed=(0, seed)), view) for seed in range(8)]
    multiplied = [each for proposals in found for each in proposals if "weights * np.exp(" in each.source]
    assert multiplied
    for proposal in multiplied:
        assert "text.distance == 1" in proposal.source
        assert fit_iou(view, proposal, "L0H0") > fit_iou(view, parent, "L0H0") + 0.1


def test_a_parent_with_loops_is_multiplied_as_well(view):
    found = [Residual().propose(request("L0H1", LOOP, seed=(0, seed)), view) for seed in range(6)]
    multiplied = [each for proposals in found for each in proposals if "for i in range" in each.source]
    assert multiplied
    assert all("text.is_name" in each.source for each in multiplied)
    assert fit_iou(view, multiplied[0], "L0H1") > fit_iou(view, LOOP, "L0H1") + 0.2


def test_a_perfect_parent_is_not_multiplied(view):
    proposals = Residual().propose(request("L0H4", program("text.distance == 0")), view)
    assert not [each for each in proposals if "weights *" in each.source]


def test_a_parent_that_cannot_be_extended_is_left_alone(view):
    source = "def program(text):\n    if text.n > 3:\n        return 1.0 * text.same\n    return text.distance >= 0\n"
    for seed in range(6):
        for proposal in Residual().propose(request("L0H0", Program.parse(source), seed=(0, seed)), view):
            assert "if text.n" not in proposal.source


def test_a_parent_that_fails_gives_nothing(view):
    parent = Program.parse("def program(text):\n    raise ValueError('no')\n")
    assert Residual().propose(request("L0H0", parent), view) == []


def test_programs_stay_short(view):
    parent = None
    for seed in range(10):
        found = Residual().propose(request("L0H2", *([parent] if parent else []), seed=(1, seed)), view)
        for proposal in found:
            terms = read(ast.parse(proposal.source))
            assert len(terms) <= MAX_TERMS
            assert len(ast.parse(proposal.source).body[0].body) <= 21
        parent = found[0].program if found else parent


def test_pruning_keeps_the_terms_that_matter(view):
    scorer = fit_scorer(view)
    found = [Term("text.is_name", 2.0), Term("text.is_comma", 0.01)]
    model = LogLinear(scorer, HEADS.index("L0H1"), found, base=np.zeros(len(scorer.sample.row), dtype=np.float32))
    model.fit(20)
    prune(model, 1)
    assert [term.source for term in model.terms] == ["text.is_name"]
    assert model.coefficients[0] == pytest.approx(np.log(10), rel=0.15)


def test_terms_chosen_on_a_part_of_the_queries_are_fitted_on_all(view, monkeypatch):
    rows = FitScorer(view, max_elements=600).sample.rows
    assert rows < 0.6 * fit_scorer(view).sample.rows
    monkeypatch.setattr(residual, "coarse_scorer", lambda view: FitScorer(view, max_elements=600))
    proposals = [p for seed in range(3) for p in Residual().propose(request("L0H2", seed=(5, seed)), view)]
    for proposal in proposals:
        noted = float(re.search(r"fit IoU ([\d.]+)", proposal.note)[1])
        assert noted == pytest.approx(fit_iou(view, proposal, "L0H2"), abs=0.02)
        assert noted > 0.9


def test_equal_requests_give_equal_proposals():
    one, first = make_view()
    two, second = make_view()
    with first, second:
        # What was asked before must not matter either.
        Residual().propose(request("L0H2"), two)
        asked = request("L0H3", program("text.distance >= 0"), seed=(3, 4))
        assert Residual().propose(asked, one) == Residual().propose(asked, two)


def test_the_docstring_says_what_the_program_does(view):
    assert "names" in _best(view, "L0H1").program.docstring


@pytest.mark.parametrize(
    "terms",
    [
        [Term("text.is_name", 1.5), Term("text.same & text.is_comma[:, None]", -0.25), Term("text.log_distance", -2.0)],
        [Term("text.is_name", -1.5)],
        [Term(f"text.distance == {k}", k - 4.5) for k in range(9)],
        [Term("text.is_name", -1.5), Term("1", 2.0, sink=True)],
        [Term("text.same", 1.0), Term("1", -2.0, sink=True), Term("text.is_comma", -0.5, sink=True)],
        [Term("text.log_distance * text.is_first", 0.5), Term("text.latest(text.is_quote) & text.is_name", 1.0)],
    ],
)
@pytest.mark.parametrize("causal", [True, False])
def test_terms_survive_writing_and_reading(terms, causal):
    assert read(write(terms, causal=causal)) == terms


@pytest.mark.parametrize(
    "body",
    [
        "return 1.0 * text.same",
        "scores = 0.5 * text.same\n    return scores",
        "scores = text.n * text.same\n    scores = scores * 2.0\n    return np.exp(scores)",
        "x = text.same\n    scores = 0.5 * x\n    return np.exp(scores)",
    ],
)
def test_programs_of_other_kinds_are_not_read(body):
    assert read(ast.parse(f"def program(text):\n    {body}\n")) is None


FIRST = [Term("1", 0.5, sink=True), Term("text.is_name", -1.0, sink=True)]


@pytest.mark.parametrize("sinks", [[], FIRST], ids=["joint", "apart"])
def test_derivatives_by_coefficients_are_those_of_finite_differences(view, sinks):
    scorer, head = fit_scorer(view), HEADS.index("L0H1")
    base = None if sinks else np.zeros(len(scorer.sample.row), dtype=np.float32)
    terms = [Term("text.is_name", 1.0), Term("text.log_distance", -0.3), *sinks]
    _, by_score, by_sink, _ = LogLinear(scorer, head, terms, base).state()
    for place, term in enumerate(terms):
        if not term.sink:
            slope = float(scorer.evaluator.pattern(term.source) @ by_score)
        elif term.source == "1":
            slope = float(by_sink.sum())
        else:
            slope = float(scorer.sample.first_keys(scorer.evaluator.pattern(f"({term.source})[:, None]")) @ by_sink)
        ious = []
        for step in (0.002, -0.002):
            moved = [Term(t.source, t.coefficient + step * (i == place), t.sink) for i, t in enumerate(terms)]
            ious.append(LogLinear(scorer, head, moved, base).state()[0])
        assert slope == pytest.approx((ious[0] - ious[1]) / 0.004, rel=0.05, abs=2e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_what_is_written_predicts_what_was_fitted(causal):
    here, sandbox = make_view(causal)
    with sandbox:
        scorer = fit_scorer(here)
        terms = [Term("text.is_name", 1.0), Term("text.same & (text.distance > 0)", 2.0), *FIRST]
        fitted = LogLinear(scorer, 0, terms).state()[-1]
        tree = write(terms, causal=causal)
        run = here.predictions(Program.parse(ast.unparse(tree)))
        assert isinstance(run, np.ndarray)
        assert np.allclose(run[scorer.sample.index], fitted, atol=1e-5)
        assert np.allclose(scorer.prediction(tree), fitted, atol=1e-5)
