import threading

import numpy as np
import pytest

from fitness.errors import UserError
from fitness.own import Own, find_own
from fitness.scoring.descriptors import describe, get_descriptor
from fitness.scoring.packing import Packing


def diagonal(predictions, packing):
    """A descriptor of these tests."""
    return float(predictions[packing.distance == 0].mean())


PACKING = Packing([3, 4], causal=True)
FLAT = np.ones(6 + 10, dtype=np.float32)


def test_a_name_is_imported():
    assert find_own(f"{__name__}:diagonal") is diagonal


def test_a_descriptor_of_ones_own_is_measured_beside_ours():
    found = describe(FLAT, PACKING, ["sink", f"{__name__}:diagonal"])
    assert found[1] == 1.0


def test_an_object_of_a_function_travels_by_value():
    factor = 0.5

    def half(predictions, packing):
        return factor

    own = Own.of(half)
    assert own.name.endswith("<locals>.half")
    assert describe(FLAT, PACKING, [own.name], [own])[0] == 0.5


def test_an_instance_goes_by_the_name_of_its_class():
    assert Own.of(PACKING).name == "fitness.scoring.packing:Packing"


def test_what_cannot_travel_is_named():
    with pytest.raises(UserError, match="lock cannot be sent to worker processes"):
        Own.of(threading.Lock())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:f", "looked for a module 'no_such_module' and could not import it .* PYTHONPATH"),
        ("fitness.own:nothing", r"looked for 'nothing' in the module 'fitness.own' \(.*own.py\)"),
        ("__main__:f", "was given in a notebook, script or function .* give the object again"),
        ("fitness.own:__name__", "is not a function of"),
    ],
)
def test_a_wrong_name_says_what_was_looked_for(name, message):
    with pytest.raises(UserError, match=message):
        get_descriptor(name)


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "gave nan"), (None, "fails: TypeError")])
def test_a_descriptor_that_gives_no_number_is_named(value, message):
    own = Own.of(lambda predictions, packing: value)
    with pytest.raises(UserError, match=message):
        describe(FLAT, PACKING, [own.name], [own])
