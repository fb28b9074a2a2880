import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.scoring import fused, iou
from fitness.scoring.packing import Packing, packed_size

llvm = pytest.importorskip("llvmlite.binding", reason="needs llvmlite: pip install 'headscribe[fast]'")


@pytest.fixture
def fresh():
    """What was compiled is forgotten, before and after."""
    fused._compiled.cache_clear()
    yield
    fused._compiled.cache_clear()


def arrays(heads, n, dtype, seed, programs=2):
    """Weights as attention has them: most are small, many are too small for float16 to hold as they are, some are 0."""
    rng = np.random.default_rng(seed)
    predictions, block = rng.random((programs, n)) ** 9, rng.random((heads, n)) ** 9
    block *= 10.0 ** -rng.integers(0, 8, (heads, 1))
    block[:, rng.random(n) < 0.1] = 0
    return predictions.astype(np.float32), block.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@given(programs=st.integers(1, 9), heads=st.integers(1, 40), n=st.integers(8, 5000), seed=st.integers(0, 1000))
def test_the_fused_pass_has_the_bits_of_numpy(programs, heads, n, dtype, seed):
    predictions, block = arrays(heads, n, dtype, seed, programs)
    found = fused.sums_of_minima(predictions, block)
    if found is None and dtype == "float16" and not llvm.get_host_cpu_features().get("f16c"):
        pytest.skip("this processor does not widen float16")
    for sums, prediction in zip(found, predictions, strict=True):
        expected = np.add.reduce(np.minimum(prediction, block, dtype=np.float32), axis=-1)
        assert sums.dtype == expected.dtype
        assert sums.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_scores_are_the_same_without_llvmlite(dtype, fresh, monkeypatch):
    packing = Packing([2, 3, 30, 64], causal=True)
    laid = [arrays(7, packed_size(n, causal=True), dtype, n) for n in packing.lengths]
    blocks = [block for _, block in laid]
    sums = np.stack([block.sum(axis=1, dtype=np.float64) for block in blocks], axis=1)
    predictions = list(np.concatenate([predictions for predictions, _ in laid], axis=1))
    with_it = iou.iou_by_text(predictions, packing, blocks, sums)
    fused._compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert fused.sums_of_minima(*laid[-1]) is None
    assert iou.iou_by_text(predictions, packing, blocks, sums).tobytes() == with_it.tobytes()


def test_where_a_trial_gives_other_bits_numpy_does_the_work(fresh, monkeypatch):
    # Lanes added from the right to the left: as precise, and another last bit.
    monkeypatch.setattr(fused, "_CODE", fused._CODE.replace("i32 0, i32 2, i32 4, i32 6", "i32 0, i32 2, i32 6, i32 4"))
    assert fused.sums_of_minima(*arrays(3, 300, "float32", 0)) is None


def test_arrays_that_do_not_lie_in_one_piece_are_left_to_numpy():
    predictions, block = arrays(4, 300, "float32", 0)
    assert fused.sums_of_minima(predictions, block) is not None
    assert fused.sums_of_minima(predictions[:, ::2], block[:, ::2]) is None
    assert fused.sums_of_minima(predictions, block.astype(np.float64)) is None
