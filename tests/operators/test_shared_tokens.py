import pytest
from fit_scene import make_view, request

from operators.residual import Residual
from operators.shared.dense import dense_sources
from operators.shared.fit_scoring import fit_scorer
from operators.shared.patterns import SHARED_TOKENS, dictionary_of, shared_tokens


@pytest.fixture(scope="module")
def view():
    view, sandbox = make_view(domains=2)
    yield view
    sandbox.close()


def _proposed(view, head):
    return [each.source for seed in range(4) for each in Residual().propose(request(head, seed=(0, seed)), view)]


def test_a_token_is_shared_where_several_texts_of_two_domains_hold_it(view):
    sample = fit_scorer(view).sample
    shared = shared_tokens(sample, 2)
    assert {" the", ".", "<|begin|>"} <= set(shared)
    assert " Mia" not in shared  # in one text
    assert len(shared) <= SHARED_TOKENS
    # The same texts as three domains of two each: nothing stands in three texts of one.
    assert shared_tokens(sample, 3) == []


def test_of_one_domain_no_token_is_named(view):
    assert shared_tokens(fit_scorer(view).sample, 1) == []


def test_the_regression_names_a_token_that_domains_share_and_no_other(view):
    sources = _proposed(view, "L0H3")
    named = [source for source in sources if "np.isin(text.tokens, [' the'])" in source]
    assert len(named) >= len(sources) // 2
    assert not [source for source in sources if "' Mia'" in source or "' a'" in source]


def test_on_one_domain_it_names_none():
    view, sandbox = make_view()
    with sandbox:
        assert not [source for source in _proposed(view, "L0H3") if "np.isin" in source]


def test_lists_are_tweaked_from_shared_tokens_and_ceilings_know_them(view):
    dictionary = dictionary_of(fit_scorer(view))
    assert dictionary.spellings == shared_tokens(fit_scorer(view).sample, 2)
    assert set(dictionary.spelled_sources) <= set(dense_sources(fit_scorer(view)))
    assert "np.isin(text.tokens, [' the'])" in dictionary.spelled_sources
