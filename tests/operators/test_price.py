import ast

from fit_scene import request, shared

from fitness.program import Program
from operators.residual import cost
from operators.shared.log_linear import Term
from operators.shared.price import bits, price
from operators.tweak import Tweak


def test_a_class_of_tokens_costs_less_than_a_list_of_them_and_every_listed_token_costs():
    lists = [f"np.isin(text.tokens, {[f' w{i}' for i in range(count)]})" for count in (1, 2, 20)]
    one, two, many = (price(ast.parse(source)) for source in lists)
    assert price(ast.parse("text.is_name")) < one < two < many
    assert many - two > 17 * (two - one)
    assert cost([Term(lists[2], 1.0)]) > 5 * cost([Term("text.is_name & text.same", 1.0)])


def test_a_docstring_costs_nothing():
    bare = "def program(text):\n    return 1.0 * text.same\n"
    told = 'def program(text):\n    """Looks at equal tokens."""\n    return 1.0 * text.same\n'
    assert bits(ast.parse(bare)) == bits(ast.parse(told))


def test_variants_that_list_more_tokens_are_taken_only_for_what_they_earn(monkeypatch):
    view = shared()[0]
    parent = Program.parse(
        "def program(text):\n    return (text.distance >= 0) * (1 + 2.0 * np.isin(text.tokens, [' Mia']))\n"
    )

    def listed():
        found = [Tweak().propose(request("L0H3", parent, seed=(1, seed)), view) for seed in range(40)]
        return sum("[' Mia', " in each.source for proposals in found for each in proposals)

    free = []
    with monkeypatch.context() as patched:
        patched.setattr("operators.tweak.price", lambda tree: 0.0)
        free.append(listed())
    with monkeypatch.context() as patched:
        patched.setattr("operators.tweak.price", lambda tree: 1000 * price(tree))
        assert listed() < free[0]
