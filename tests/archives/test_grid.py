import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archives.grid import AddStatus, Axis, Grid

AXES = [Axis("reach", 3), Axis("sink", 2)]


def program(number, iou, descriptors=(0.5, 0.5), length=10):
    return {"number": number, "iou": np.array(iou), "descriptors": np.array(descriptors), "length": length}


def add(grid, entry):
    return grid.add(**entry, key=f"{entry['number'] * 7919 % 65536:016x}")


programs = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=2),
        st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=12,
)


def test_the_better_program_takes_the_place_head_by_head():
    grid = Grid(AXES, heads=2)
    first = add(grid, program(0, [0.5, 0.2]))
    second = add(grid, program(1, [0.4, 0.3]))
    third = add(grid, program(2, [0.1, 0.1]))
    assert (first.status, second.status, third.status) == (
        AddStatus.NEW,
        AddStatus.IMPROVE_EXISTING,
        AddStatus.NOT_ADDED,
    )
    assert not third
    assert grid.retrieve(np.array([0.5, 0.5]), 0) == (0, 0.5)
    assert grid.retrieve(np.array([0.5, 0.5]), 1)[0] == 1
    assert grid.retrieve(np.array([0.9, 0.9]), 1) is None
    assert first.gain == pytest.approx(0.7)
    assert second.gain == pytest.approx(0.1)
    assert grid.head_best.tolist() == [0, 1]


def test_ties_go_to_the_shorter_source_then_to_the_smaller_id():
    grid = Grid(AXES, heads=1)
    grid.add(0, np.array([0.5]), np.array([0.5, 0.5]), length=10, key="0b")
    grid.add(1, np.array([0.5]), np.array([0.5, 0.5]), length=9, key="0c")
    grid.add(2, np.array([0.5]), np.array([0.5, 0.5]), length=9, key="0a")
    grid.add(3, np.array([0.5]), np.array([0.5, 0.5]), length=9, key="0d")
    assert grid.head_best.tolist() == [2]


@given(entries=programs, order=st.randoms())
def test_the_final_grid_does_not_depend_on_the_order(entries, order):
    entries = [program(i, iou, descriptors, length) for i, (iou, descriptors, length) in enumerate(entries)]
    grids = []
    for _ in range(2):
        grid = Grid(AXES, heads=2)
        for entry in entries:
            add(grid, entry)
        grids.append(grid)
        entries = list(entries)
        order.shuffle(entries)
    assert (grids[0].elite == grids[1].elite).all()
    assert (grids[0].best_iou == grids[1].best_iou).all()
    assert (grids[0].clipped == grids[1].clipped).all()


@given(entries=programs)
def test_coverage_and_quality_never_fall(entries):
    grid = Grid(AXES, heads=2)
    before = grid.stats()
    for number, (iou, descriptors, length) in enumerate(entries):
        add(grid, program(number, iou, descriptors, length))
        after = grid.stats()
        assert after["coverage"] >= before["coverage"]
        assert after["qd_score"] >= before["qd_score"]
        assert after["obj_max"] >= before["obj_max"]
        before = after
    assert 0 < before["coverage"] <= 1


def test_sampled_elites_are_different_and_best_first():
    grid = Grid(AXES, heads=1)
    for number, descriptor in enumerate([0.1, 0.5, 0.9]):
        add(grid, program(number, [number / 10], (descriptor, 0.1)))
    picked = grid.sample_elites(0, 5, np.random.default_rng(0))
    assert [number for number, _, _ in picked] == [2, 1, 0]
    counts = [grid.sample_elites(0, 1, np.random.default_rng(seed))[0][0] for seed in range(200)]
    assert counts.count(2) > counts.count(0) > 0
    assert Grid(AXES, heads=1).sample_elites(0, 2, np.random.default_rng(0)) == []


def test_an_axis_whose_values_pile_up_is_reported():
    grid = Grid(AXES, heads=1)
    for number in range(20):
        add(grid, program(number, [0.5], (number / 20, 0.9)))
    assert grid.crowded() == ["sink"]


def test_what_cannot_be_added_is_refused():
    grid = Grid(AXES, heads=2)
    with pytest.raises(ValueError, match=r"iou has shape \(1,\), expected \(2,\)"):
        add(grid, program(0, [0.5]))
    with pytest.raises(ValueError, match="must be finite"):
        add(grid, program(0, [0.5, np.nan]))
    with pytest.raises(ValueError, match=r"descriptors have shape \(1,\), expected \(2,\)"):
        add(grid, program(0, [0.5, 0.5], (0.5,)))
