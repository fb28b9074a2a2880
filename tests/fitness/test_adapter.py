from __future__ import annotations

import numpy as np
import pytest

from fitness.adapter import adapt
from fitness.program import Program, ProgramError
from fitness.sandbox import Sandbox
from fitness.sandbox.static_check import check_source
from fitness.scoring.baselines import baselines
from fitness.text.view import Text

TOKENS = ["<|begin|>", "Once", " upon", " a", " time", ".", " A", " time", "\n", "!"]
IDS = [0, 11, 12, 13, 14, 15, 16, 14, 17, 18]
TEXT = Text(TOKENS, IDS, "Once upon a time. A time\n!")

PUBLISHED = '''
import os, spacy
import numpy as np
import torch
from typing import Tuple, Optional
from transformers import PreTrainedTokenizerBase

nlp = spacy.load("en_core_web_sm")
np.random.seed(1)

# Layer 0, Head 1
def previous(sentence: str, tokenizer: PreTrainedTokenizerBase) -> Tuple[str, np.ndarray]:
    toks = tokenizer([sentence], return_tensors="pt")
    len_seq = len(toks.input_ids[0])
    out = np.zeros((len_seq, len_seq))
    for i in range(1, len_seq):
        out[i, i - 1] = 1  # the token before
    out[0, 0] = 1
    return "Previous \\"Token\\" Pattern", out

WORDS = {"a", "the"}

def is_article(token: str) -> bool:
    return token.replace("\\u0120", "").lower() in WORDS

def articles(sentence: str, tokenizer: PreTrainedTokenizerBase) -> "torch.Tensor":
    """Looks at articles.

    At length."""
    toks = tokenizer([sentence], return_tensors="pt")
    tokens = tokenizer.convert_ids_to_tokens(toks.input_ids[0])
    out = np.zeros((len(tokens), len(tokens)))
    for j, token in enumerate(tokens):
        if is_article(token):
            out[:, j] = 1
    return "Articles", out

WORDS = {"time"}

def articles(sentence, tokenizer):
    toks = tokenizer([sentence], return_tensors="pt")
    tokens = tokenizer.convert_ids_to_tokens(toks.input_ids[0])
    return np.array([[1.0 * (t.strip("\\u0120") in WORDS) for t in tokens] for _ in tokens])

def verbs(sentence: str, tokenizer) -> tuple:
    doc = nlp(sentence)
    return "Verbs", np.zeros((len(doc), len(doc)))

if __name__ == "__main__":
    print(os.getcwd())
'''


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox([TEXT]) as opened:
        yield opened


def test_published_functions_become_programs_with_what_they_use(sandbox):
    programs = adapt(PUBLISHED)
    assert list(programs) == ["previous", "articles", "articles_2", "verbs"]
    expected = np.eye(10, k=-1)
    expected[0, 0] = 1
    assert np.array_equal(sandbox.run(programs["previous"]).weights[0], expected)
    assert sandbox.run(programs["articles"]).weights[0][0].nonzero()[0].tolist() == [3, 6]
    assert sandbox.run(programs["articles_2"]).weights[0][0].nonzero()[0].tolist() == [4, 7]


def test_adapted_sources_pass_the_static_check_and_carry_nothing_else():
    programs = adapt(PUBLISHED)
    for name in ("previous", "articles", "articles_2"):
        check_source(programs[name].source)
        for word in ("spacy", "import os", "print", "import torch", "import Tuple", "seed"):
            assert word not in programs[name].source
    assert "# the token before" in programs["previous"].source
    assert "is_article" not in programs["previous"].source
    assert programs["previous"].docstring == "Previous Token Pattern."
    assert programs["articles"].docstring == "Looks at articles."


def test_a_function_that_needs_more_than_programs_have_is_rejected_when_run(sandbox):
    outcome = sandbox.run(adapt(PUBLISHED)["verbs"])
    assert outcome.kind == "rejected"
    assert "`spacy` cannot be imported" in outcome.message


def test_a_file_of_one_program_is_taken_as_it_stands():
    source = '"""A file."""\nimport numpy as np\n\n\ndef program(text):\n    """Looks."""\n'
    source += "    return np.ones((text.n, text.n))\n"
    programs = adapt(source)
    assert programs == {"program": Program.parse(source)}
    assert programs["program"].docstring == "Looks."


def test_named_functions_of_a_text_become_programs_of_equal_identity():
    files = [each.source.replace("def program", f"def {name}") for name, each in baselines().items()]
    programs = adapt("\n\n".join(files))
    assert programs == baselines()


def test_helpers_of_a_text_are_no_programs(sandbox):
    source = "def rows(text):\n    return text.distance ** 2\n\n\ndef one(text):\n    return rows(text) + 1\n"
    programs = adapt(source)
    assert list(programs) == ["one"]
    assert sandbox.run(programs["one"]).weights[0][0, 0] == 1


def test_a_recursive_function_keeps_its_name(sandbox):
    source = "def twice(text, deep=True):\n    return twice(text, False) * 2 if deep else text.distance ** 2\n"
    programs = adapt(source)
    assert sandbox.run(programs["twice"]).weights[0][1, 0] == 2


def test_a_published_function_of_the_name_program(sandbox):
    source = (
        "def program(sentence, tokenizer):\n    n = len(tokenizer(sentence)['input_ids'])\n    return 'x', np.eye(n)\n"
    )
    assert np.array_equal(sandbox.run(adapt(source)["program"]).weights[0], np.eye(10))


def test_matrix_and_pair_are_told_apart_when_run(sandbox):
    source = "def f(sentence, tokenizer):\n    n = tokenizer(sentence, return_tensors='pt').input_ids.size(1)\n"
    for result in ("result = np.eye(n)", "result = 'name', np.eye(n)"):
        programs = adapt(f"{source}    {result}\n    return result\n")
        assert np.array_equal(sandbox.run(programs["f"]).weights[0], np.eye(10))


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("def f(:\n", "syntax", "invalid syntax"),
        ("", "rejected", "no function"),
        ("x = 1\n\ndef helper(a, b, c):\n    return a\n", "rejected", "(sentence, tokenizer)"),
    ],
)
def test_a_file_without_programs_is_told(source, kind, words):
    with pytest.raises(ProgramError) as caught:
        adapt(source)
    assert caught.value.kind == kind
    assert words in str(caught.value)


def test_adapting_runs_nothing():
    adapt("raise SystemExit\n\ndef program(text):\n    return 1\n")


def test_the_tokenizer_gives_the_model_s_own_tokens():
    tokenizer = TEXT.tokenizer
    assert tokenizer(TEXT.string)["input_ids"] == IDS
    assert tokenizer([TEXT.string]).input_ids == [IDS]
    tensor = tokenizer([TEXT.string], return_tensors="pt").input_ids
    assert tensor.shape == (1, 10)
    assert (tensor.size(1), tensor.size(), tensor.numel(), tensor[0][1].item()) == (10, (1, 10), 10, 11)
    assert tokenizer.encode(TEXT.string) == IDS
    assert tokenizer.encode(TEXT.string, add_special_tokens=False) == IDS[1:]
    spelled = ["<|begin|>", "Once", "\u0120upon", "\u0120a", "\u0120time", ".", "\u0120A", "\u0120time", "\u010a", "!"]
    assert tokenizer.convert_ids_to_tokens(tensor[0]) == spelled
    assert tokenizer.tokenize(TEXT.string) == spelled[1:]
    assert tokenizer(TEXT.string).tokens() == spelled
    assert tokenizer.convert_tokens_to_ids(["\u0120a", "."]) == [13, 15]
    assert tokenizer.convert_tokens_to_ids("zebra") == -1
    assert tokenizer.decode(tensor[0], skip_special_tokens=True) == TEXT.string
    assert tokenizer.decode(tensor[0][3]) == " a"
    assert (tokenizer.bos_token, tokenizer.all_special_ids) == ("<|begin|>", [0])


def test_the_tokenizer_knows_words_and_characters():
    encoding = TEXT.tokenizer(TEXT.string, return_offsets_mapping=True)
    assert encoding.word_ids() == [None, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    spans = encoding["offset_mapping"]
    assert [TEXT.string[begin:end] for begin, end in spans[1:4]] == ["Once", "upon", "a"]
    assert encoding.token_to_chars(0, 2) == (5, 9)
    assert encoding.token_to_chars(0) is None
    assert encoding.char_to_token(6) == 2


def test_other_strings_are_cut_into_known_tokens():
    tokenizer = TEXT.tokenizer
    assert tokenizer.tokenize(" a time") == ["\u0120a", "\u0120time"]
    assert tokenizer("xz a")["input_ids"] == [-1, -1, 13]
    with pytest.raises(ValueError, match="one text"):
        tokenizer(["a", "b"])


def test_without_begin_token_there_is_no_special_token():
    tokenizer = Text(["a", " b"]).tokenizer
    assert (tokenizer.bos_token, tokenizer.sep_token_id, tokenizer.all_special_ids) == (None, None, [])


def test_programs_keep_their_identity_through_the_adapter():
    source = "def program(text):\n    return np.ones((text.n, text.n))\n"
    assert adapt(source)["program"].id == Program.parse(source).id
