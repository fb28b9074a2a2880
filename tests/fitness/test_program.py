import pytest

from fitness.program import Program, ProgramError
from fitness.scoring.baselines import baselines

SOURCE = '''def program(text):
    """Looks back."""
    # the previous token
    return 1.0*(text.distance==1)
'''


def test_identity_ignores_layout_comments_and_docstrings():
    plain = "def program(text):\n    return (1.0 * (text.distance == 1))"
    assert Program.parse(SOURCE).id == Program.parse(plain).id
    assert Program.parse(SOURCE).source == SOURCE
    assert Program.parse(SOURCE).docstring == "Looks back."
    assert Program.parse(SOURCE).length == Program.parse(plain).length


def test_identity_tells_different_code_apart():
    assert Program.parse(SOURCE).id != Program.parse(SOURCE.replace("== 1", "== 2").replace("==1", "==2")).id


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("def program(text:\n", "syntax", None),
        ("x = 1", "rejected", "defines no function"),
        ("def program():\n    pass", "rejected", "must take one argument"),
        ("def program(a, b):\n    pass", "rejected", "must take one argument"),
        ("(" * 5000 + ")" * 5000, "syntax", None),
        ("a\0b", "syntax", None),
    ],
)
def test_what_is_no_program_is_named(source, kind, message):
    with pytest.raises(ProgramError, match=message) as caught:
        Program.parse(source)
    assert caught.value.kind == kind


def test_baselines_are_different_programs():
    programs = baselines()
    assert {"first_token", "previous_token", "self", "uniform", "random_token", "random_column"} <= programs.keys()
    assert len({program.id for program in programs.values()}) == len(programs)


def test_docstrings_of_inner_functions_do_not_count_wherever_they_stand():
    inner = "def program(text):\n    if text.n:\n        try:\n            def inner():\n{}                return 1\n"
    inner += "        except ValueError:\n            pass\n    return text.same\n"
    with_docstring = inner.format("                '''Says one.'''\n")
    assert Program.parse(with_docstring).id == Program.parse(inner.format("")).id
