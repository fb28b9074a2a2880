import pytest

from fitness.errors import UserError
from fitness.own import Own
from operators.registry import LLM_OPERATORS, OFFLINE_OPERATORS, get_operator


class Silent:
    n_parents = 1

    def propose(self, request, view):
        return []


class NoParents:
    def propose(self, request, view):
        return []


class NoProposals:
    n_parents = 0


def test_every_operator_of_ours_is_found():
    for name in OFFLINE_OPERATORS:
        assert callable(get_operator(name).propose)
    for name in LLM_OPERATORS:
        assert callable(get_operator(name).prompt)


def test_an_operator_of_ones_own_is_found_by_name_as_a_class_and_as_an_instance():
    assert get_operator(f"{__name__}:Silent").n_parents == 1
    for given in (Silent, Silent()):
        own = Own.of(given)
        assert get_operator(own.name, [own]).propose(None, None) == []


@pytest.mark.parametrize(("wrong", "lacks"), [(NoParents, "`n_parents`"), (NoProposals, "`propose")])
def test_what_is_not_an_operator_says_what_it_lacks(wrong, lacks):
    with pytest.raises(UserError, match=f"{wrong.__name__}' is not an operator: it needs .*{lacks}"):
        get_operator(f"{__name__}:{wrong.__name__}")
