"""Sums of minima in one pass: what numpy does in two, from float32 or float16, with the same bits.

numpy writes all minima to memory before it adds them, and widens float16 by software. Here eight lanes of both arrays
are loaded, widened, compared and added in registers, by LLVM through llvmlite (extra `fast`). Additions come in the
order of numpy's pairwise sum of float32, so that no score depends on whether llvmlite is installed: without it, or
where a trial shows another bit, numpy does the work.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import numpy as np

# Address of the predictions and their number, address of the block, heads, n, and the address of what is written.
Compiled = Callable[[int, int, int, int, int, int], None]

LANES = 8
# numpy's order: halves, of which the first is a multiple of 8, down to blocks of at most 128; in a block, lane k adds
# elements k, k + 8, ..., lanes are added as a tree, and what is left over one by one.
_CODE = """
define private float @pairwise(ptr %p, ptr %b, i64 %n) {
  %is_block = icmp ule i64 %n, 128
  br i1 %is_block, label %block, label %halves
halves:
  %middle = lshr i64 %n, 1
  %half = and i64 %middle, -8
  %rest = sub i64 %n, %half
  %p_rest = getelementptr float, ptr %p, i64 %half
  %b_rest = getelementptr KIND, ptr %b, i64 %half
  %first = call float @pairwise(ptr %p, ptr %b, i64 %half)
  %second = call float @pairwise(ptr %p_rest, ptr %b_rest, i64 %rest)
  %both = fadd float %first, %second
  ret float %both
block:
  %whole = and i64 %n, -8
  br label %lanes
lanes:
  %i = phi i64 [ 0, %block ], [ %i_next, %lanes ]
  %sums = phi <8 x float> [ zeroinitializer, %block ], [ %added, %lanes ]
  %p_i = getelementptr float, ptr %p, i64 %i
  %b_i = getelementptr KIND, ptr %b, i64 %i
  %x = load <8 x float>, ptr %p_i, align 4
  %b_lanes = load <8 x KIND>, ptr %b_i, align SIZE
  %y = WIDEN_LANES
  %less = fcmp olt <8 x float> %x, %y
  %least = select <8 x i1> %less, <8 x float> %x, <8 x float> %y
  %added = fadd <8 x float> %sums, %least
  %i_next = add i64 %i, 8
  %more = icmp ult i64 %i_next, %whole
  br i1 %more, label %lanes, label %tree
tree:
  %even = shufflevector <8 x float> %added, <8 x float> poison, <4 x i32> <i32 0, i32 2, i32 4, i32 6>
  %odd = shufflevector <8 x float> %added, <8 x float> poison, <4 x i32> <i32 1, i32 3, i32 5, i32 7>
  %four = fadd <4 x float> %even, %odd
  %four_even = shufflevector <4 x float> %four, <4 x float> poison, <2 x i32> <i32 0, i32 2>
  %four_odd = shufflevector <4 x float> %four, <4 x float> poison, <2 x i32> <i32 1, i32 3>
  %two = fadd <2 x float> %four_even, %four_odd
  %left = extractelement <2 x float> %two, i32 0
  %right = extractelement <2 x float> %two, i32 1
  %one = fadd float %left, %right
  br label %tail
tail:
  %j = phi i64 [ %whole, %tree ], [ %j_next, %single ]
  %sum = phi float [ %one, %tree ], [ %sum_next, %single ]
  %done = icmp uge i64 %j, %n
  br i1 %done, label %end, label %single
single:
  %p_j = getelementptr float, ptr %p, i64 %j
  %b_j = getelementptr KIND, ptr %b, i64 %j
  %x_j = load float, ptr %p_j, align 4
  %b_one = load KIND, ptr %b_j, align SIZE
  %y_j = WIDEN_ONE
  %less_j = fcmp olt float %x_j, %y_j
  %least_j = select i1 %less_j, float %x_j, float %y_j
  %sum_next = fadd float %sum, %least_j
  %j_next = add i64 %j, 1
  br label %tail
end:
  ret float %sum
}

; A head's row stays in the cache while all programs are compared with it.
define void @sums(ptr %predictions, i64 %programs, ptr %block, i64 %heads, i64 %n, ptr %out) {
entry:
  br label %head
head:
  %h = phi i64 [ 0, %entry ], [ %h_next, %programs_done ]
  %b_at = mul i64 %h, %n
  %row = getelementptr KIND, ptr %block, i64 %b_at
  br label %program
program:
  %k = phi i64 [ 0, %head ], [ %k_next, %program ]
  %p_at = mul i64 %k, %n
  %prediction = getelementptr float, ptr %predictions, i64 %p_at
  %sum = call float @pairwise(ptr %prediction, ptr %row, i64 %n)
  %k_row = mul i64 %k, %heads
  %to_at = add i64 %k_row, %h
  %to = getelementptr float, ptr %out, i64 %to_at
  store float %sum, ptr %to, align 4
  %k_next = add i64 %k, 1
  %k_more = icmp ult i64 %k_next, %programs
  br i1 %k_more, label %program, label %programs_done
programs_done:
  %h_next = add i64 %h, 1
  %h_more = icmp ult i64 %h_next, %heads
  br i1 %h_more, label %head, label %end
end:
  ret void
}
"""
_KINDS = {
    "float32": ("float", "4", "bitcast <8 x float> %b_lanes to <8 x float>", "bitcast float %b_one to float"),
    "float16": ("half", "2", "fpext <8 x half> %b_lanes to <8 x float>", "fpext half %b_one to float"),
}


def sums_of_minima(predictions: np.ndarray, block: np.ndarray) -> np.ndarray | None:
    """Sums over elements of the minimum of each prediction and each head's attention, in one pass over the attention.

    Args:
        predictions: (programs, n) float32, not negative.
        block: (heads, n) float32 or float16, not negative.

    Returns:
        (programs, heads) float32, to the last bit `np.minimum(prediction, block, dtype=np.float32).sum(axis=1)` of each
        prediction; None where that is left to numpy.
    """
    compiled = _compiled(block.dtype.name)
    plain = predictions.dtype == np.float32 and predictions.flags.c_contiguous and block.flags.c_contiguous
    if compiled is None or not plain or predictions.shape[1] < LANES or not predictions.size or not block.size:
        return None
    return _call(compiled, predictions, block)


def _call(compiled: Compiled, predictions: np.ndarray, block: np.ndarray) -> np.ndarray:
    heads, n = block.shape
    out = np.empty((len(predictions), heads), dtype=np.float32)
    compiled(predictions.ctypes.data, len(predictions), block.ctypes.data, heads, n, out.ctypes.data)
    return out


@lru_cache(maxsize=2)
def _compiled(dtype: str) -> Compiled | None:
    """The pass over blocks of a type; None where it cannot be had here, or gives other bits than numpy."""
    if dtype not in _KINDS:
        return None
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return None
    found = _compile(llvm, dtype)
    return found if found is not None and _has_the_bits_of_numpy(found, dtype) else None


def _compile(llvm: Any, dtype: str) -> Compiled | None:
    features = llvm.get_host_cpu_features()
    kind, size, lanes, one = _KINDS[dtype]
    if kind == "half" and not (features.get("f16c") or features.get("fullfp16")):
        return None  # LLVM would call a function that is not there
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    code = _CODE.replace("KIND", kind).replace("SIZE", size).replace("WIDEN_LANES", lanes).replace("WIDEN_ONE", one)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    try:
        module = llvm.parse_assembly(code)
    except RuntimeError:  # of before LLVM knew `ptr`
        return None
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    whole, address = ctypes.c_int64, ctypes.c_void_p
    signature = ctypes.CFUNCTYPE(None, address, whole, address, whole, whole, address)
    function: Any = signature(engine.get_function_address("sums"))
    function.engine = engine  # the code lives as long as its engine
    return cast(Compiled, function)


def _has_the_bits_of_numpy(compiled: Compiled, dtype: str) -> bool:
    rng = np.random.default_rng(0)
    for n in (LANES, 127, 129, 2085):
        predictions, block = rng.random((2, n), dtype=np.float32), rng.random((3, n), dtype=np.float32).astype(dtype)
        for prediction, found in zip(predictions, _call(compiled, predictions, block), strict=True):
            minima = np.minimum(prediction, block, dtype=np.float32)
            if not np.array_equal(found, np.add.reduce(minima, axis=-1)):
                return False
    return True
