"""Programs in replies: found whatever surrounds them, and nothing taken for one that is none."""

import json

import pytest
from fake_llm_server import CUT_OFF, HOSTILE, NO_CODE, REFUSAL, WRONG
from hypothesis import given
from hypothesis import strategies as st

from fitness.program import Program
from operators.llm.client.usage import Usage
from operators.llm.replies import MAX_CANDIDATES, read_reply
from operators.protocol import Failure, Proposal

ONE = 'def program(text):\n    """Looks back."""\n    return 1.0 * (text.distance == 1)'
TWO = "import numpy as np\n\ndef program(text):\n    return np.exp(-text.distance)"


def sources(text, finish="stop"):
    return [found.source.strip() for found in read_reply(text, finish) if isinstance(found, Proposal)]


def kinds(text, finish="stop"):
    return [found.kind if isinstance(found, Failure) else "program" for found in read_reply(text, finish)]


@pytest.mark.parametrize(
    "reply",
    [
        ONE,
        f"```python\n{ONE}\n```",
        f"```py\n{ONE}\n```\nDone.",
        f"```\n{ONE}\n```",
        f"~~~python\n{ONE}\n~~~",
        f"````python\n{ONE}\n````",
        f"Sure! Here it is:\n\n```Python\n{ONE}\n```\n\nIt looks back.",
        f"Sure! Here it is:\n\n{ONE}\n\nIt looks at the token before, as you see.",
        f"from what I see, this is it:\n{ONE}\nEnjoy",
        f"```python\n{ONE}",
        f"```python\r\n{ONE}\r\n```".replace("\n    ", "\r\n    "),
        f"<think>def program(text): maybe\n```python\nx\n```</think>\n```python\n{ONE}\n```",
        "1. An idea:\n   ```python\n   " + ONE.replace("\n", "\n   ") + "\n   ```",
        f"```python\n{ONE}\n\nif __name__ == '__main__':\n    print(program(None))\n```",
        f"```python\n{ONE}\nprint(program(text))\n```",
        f'```json\n{{"idea": 1}}\n```\n```python\n{ONE}\n```\n```text\nweights\n```',
    ],
)
def test_a_program_is_found_whatever_surrounds_it(reply):
    assert sources(reply) == [ONE]


@pytest.mark.parametrize(
    "form",
    [
        lambda *programs: json.dumps({"programs": programs}),
        lambda *programs: json.dumps({"programs": programs}, indent=2) + "\nThat is all.",
        lambda *programs: f"Here:\n```json\n{json.dumps({'programs': programs})}\n```",
        lambda *programs: json.dumps({"programs": [f"```python\n{each}\n```" for each in programs]}),
        lambda *programs: '{"programs": ["' + '", "'.join(each.replace('"', '\\"') for each in programs) + '"]}',
    ],
)
def test_programs_in_json_are_found(form):
    assert sources(form(ONE, TWO)) == [ONE, TWO]


def test_one_program_in_json_is_found():
    assert sources(json.dumps({"program": ONE})) == [ONE]


def test_json_beside_code_does_not_hide_the_code():
    assert sources(f'{{"program": "looks back"}}\n```python\n{ONE}\n```') == [ONE]


@pytest.mark.parametrize("length", range(10, 100, 7))
def test_json_that_is_cut_off_gives_no_program(length):
    assert kinds(json.dumps({"programs": [ONE]})[:length], "length") == ["cut off"]


PROMPT = [
    {"role": "system", "content": f"You write programs, and not more than one.\n\n```python\n{TWO}\n```\nThat is how."},
    {
        "role": "user",
        "content": f"# Head L0H1\nThis program predicts the head somehow:\n```python\n{ONE}\n```\nImprove it.",
    },
]


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{ONE}\n```",
        f"```python\n{ONE.replace('Looks back.', 'Something else.')}\n```",
        TWO,
        json.dumps({"program": ONE}),
        "\n".join(message["content"] for message in PROMPT).replace("python", "text"),
        PROMPT[1]["content"].replace("def program", "def programme") + "\nThis program predicts the head somehow:\n",
    ],
)
def test_a_reply_that_says_its_prompt_again_is_an_echo(reply):
    assert [found.kind for found in read_reply(reply, messages=PROMPT)] == ["echo"]


def test_a_new_program_beside_an_echo_is_taken():
    new = ONE.replace("1.0", "0.5")
    found = read_reply(f"```python\n{ONE}\n```\n```python\n{new}\n```", messages=PROMPT)
    assert [getattr(each, "kind", "program") for each in found] == ["echo", "program"]
    assert read_reply(NO_CODE, messages=PROMPT)[0].kind == "no code"


def test_a_reply_lost_in_thought_names_its_tokens():
    (failure,) = read_reply("", "length", Usage(10, 1500, 1500))
    assert failure.kind == "cut off"
    assert "after 1500 tokens, 1500 of them thought" in failure.message


def test_several_candidates_come_in_their_order():
    assert sources(f"First:\n```python\n{ONE}\n```\nSecond:\n```python\n{TWO}\n```") == [ONE, TWO]


def test_two_programs_in_one_fence_are_two_candidates_with_all_that_they_share():
    helper = "SHARE = 0.5\n"
    found = sources(f"```python\n{helper}{ONE}\n\n{TWO}\n```")
    assert [Program.parse(source).normalised.count("def program") for source in found] == [1, 1]
    assert all("SHARE = 0.5" in source and "import numpy" in source for source in found)


def test_a_helper_stays_with_its_program():
    source = "def fade(d):\n    return 1.0 / (1 + d)\n\ndef program(text):\n    return fade(text.distance)"
    assert sources(f"```python\n{source}\n```") == [source]


def test_no_more_candidates_than_a_few_are_taken():
    assert len(read_reply(f"```python\n{ONE}\n```\n" * 30)) == MAX_CANDIDATES


def test_the_docstring_becomes_the_note():
    assert read_reply(f"```python\n{ONE}\n```")[0].note == "Looks back."


@pytest.mark.parametrize(
    ("reply", "finish", "expected"),
    [
        ("", "stop", ["empty"]),
        (" \n", "stop", ["empty"]),
        (REFUSAL, "stop", ["refusal"]),
        ("Whatever", "refusal", ["refusal"]),
        ("", "content_filter", ["refusal"]),
        (NO_CODE, "stop", ["no code"]),
        ("import the idea and define program", "stop", ["no code"]),
        ("```python\nweights = 1\n```", "stop", ["no program"]),
        ("```python\ndef program_a(text):\n    return 1\n```", "stop", ["no program"]),
        ("```python\ndef program(text:\n    return 1\n```", "stop", ["syntax"]),
        ("```python\ndef program(a, b):\n    return 1\n```", "stop", ["rejected"]),
        ("```python\nasync def program(text):\n    return 1\n```", "stop", ["rejected"]),
        ("```python\nclass A:\n    def program(self):\n        return 1\n```", "stop", ["rejected"]),
        (CUT_OFF, "length", ["cut off"]),
        (CUT_OFF, "stop", ["syntax"]),
        ("I begin with a long", "length", ["cut off"]),
        ("<think>and def program(text): so on", "length", ["cut off"]),
        ("<think>and def program(text): so on", "stop", ["empty"]),
        (f"```python\n{ONE}\n```\n{CUT_OFF}", "length", ["program", "cut off"]),
        (f"```python\n{ONE}\n```\nAnd now", "length", ["program"]),
        (f"```python\n{ONE}\n", "length", ["program"]),
        ("```python\ndef program(text):\n    if text.n:\n        return text.same\n", "length", ["cut off"]),
        ("```python\ndef program(text):\n    x = 1\n", "length", ["cut off"]),
        ("```python\n" + "# long\n" * 4000 + ONE + "\n```", "stop", ["too long"]),
        (WRONG, "stop", ["program"]),
        (HOSTILE, "stop", ["program"]),
        ("", "length", ["cut off"]),
        ('{"programs": ["def program(text):', "stop", ["syntax"]),
        ('{"programs": []}', "stop", ["syntax"]),
        ('{"program": ' * 20_000, "stop", ["syntax"]),
    ],
)
def test_what_is_no_program_is_a_failure_of_its_kind(reply, finish, expected):
    assert kinds(reply, finish) == expected


def test_a_syntax_error_has_its_line():
    (failure,) = read_reply("```python\nimport re\n\ndef program(text):\n    return (1\n```")
    assert (failure.kind, failure.line) == ("syntax", 4)


def test_nothing_of_a_reply_is_run(tmp_path):
    target = tmp_path / "ran"
    code = f"open({str(target)!r}, 'w')"
    for reply in (f"```python\n{code}\n{ONE}\n```", f"{ONE}\n{code}", f"```python\n{ONE}\n    {code}\n```", code):
        read_reply(reply)
    assert not target.exists()


@pytest.mark.parametrize(
    "body",
    [
        "-" * 19_000 + "1",
        "(" * 3000,
        "1" + "+1" * 9000,
        "a" + ".b" * 9000,
        "not " * 4000 + "1",
        "\0",
        "f(" * 250 + ")" * 250,
    ],
)
def test_code_made_to_break_the_parser_is_a_failure(body):
    assert kinds(f"```python\ndef program(text):\n    return {body}\n```") in (["syntax"], ["rejected"])


@given(st.text(alphabet="`~ \npythondefrgam(tx):1=\"'#<>k/", max_size=200), st.sampled_from(["stop", "length"]))
def test_any_text_gives_programs_that_parse_or_failures(text, finish):
    found = read_reply(text, finish)
    assert found
    for each in found:
        assert isinstance(each, Failure) or Program.parse(each.source)


LONG = (
    "import numpy as np\n\ndef program(text):\n    a = 0.5 * text.same\n    if text.n > 3:\n        return a\n"
    "    b = (a +\n         text.is_first)\n    return b * 2"
)


@pytest.mark.parametrize("program", [ONE, TWO, LONG])
@pytest.mark.parametrize("form", ["Here:\n\n```python\n{}\n```\nDone.", "Here:\n\n{}\n\nThat is all.", "{}"])
def test_a_reply_cut_anywhere_never_gives_half_a_program(program, form):
    whole = form.format(program)
    for length in range(len(whole)):
        assert set(sources(whole[:length], "length")) <= {program}, whole[:length]
    if form != "{}":
        assert sources(whole) == [program]


def test_bare_code_that_is_broken_inside_is_not_cut_down_to_what_parses():
    assert kinds("Here:\n\ndef program(text):\n    a = 1\n    return (a\n\nThat is all.") == ["syntax"]
