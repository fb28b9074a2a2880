"""What programs may name: modules, what each of them offers, builtins and attributes. Lists of what is allowed."""

from __future__ import annotations

import collections
import itertools
import math
import re
import string
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from fitness.text.tokenizer_view import ENCODED, Encoding, Ids, TokenizerView
from fitness.text.view import Text

MODULES = ("numpy", "math", "re", "collections", "itertools", "string")
SUBMODULES = ("numpy.random", "numpy.linalg", "numpy.fft")

BUILTINS = frozenset(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format "
    "frozenset getattr hasattr hash hex int isinstance issubclass iter len list map max min next oct ord pow print "
    "range repr reversed round set slice sorted str sum tuple type zip True False None NotImplemented Ellipsis "
    "ArithmeticError AssertionError AttributeError Exception FloatingPointError IndexError KeyError LookupError "
    "NameError NotImplementedError OverflowError RecursionError RuntimeError StopIteration TypeError UnicodeError "
    "ValueError Warning ZeroDivisionError".split()
)

# What computes. Files, other memory, clocks, arbitrary objects and modules within the module are not here.
_NUMPY_ALLOWED = frozenset(
    "False_ True_ abs absolute acos acosh add all allclose alltrue amax amin angle any append apply_along_axis "
    "apply_over_axes arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort "
    "argwhere around array array2string array_equal array_equiv array_repr array_split array_str asanyarray asarray "
    "asarray_chkfinite ascontiguousarray asfortranarray asin asinh astype atan atan2 atanh atleast_1d atleast_2d "
    "atleast_3d average bartlett base_repr binary_repr bincount bitwise_and bitwise_count bitwise_invert "
    "bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman block bool bool_ "
    "broadcast_arrays broadcast_shapes broadcast_to byte bytes_ c_ can_cast cbrt cdouble ceil choose clip clongdouble "
    "column_stack common_type complex128 complex256 complex64 complex_ complexfloating compress concat concatenate "
    "conj conjugate convolve copy copysign copyto corrcoef correlate cos cosh count_nonzero cov cross csingle cumprod "
    "cumproduct cumsum cumulative_prod cumulative_sum deg2rad degrees delete diag diag_indices diag_indices_from "
    "diagflat diagonal diff digitize divide divmod dot double dsplit dstack dtype e ediff1d einsum einsum_path empty "
    "empty_like equal errstate euler_gamma exp exp2 expand_dims expm1 extract eye fabs fft fill_diagonal finfo fix "
    "flatnonzero flip fliplr flipud float128 float16 float32 float64 float_ float_power floating floor floor_divide "
    "fmax fmin fmod format_float_positional format_float_scientific frexp fromfunction fromiter full full_like gcd "
    "generic geomspace get_printoptions geterr gradient greater greater_equal half hamming hanning heaviside "
    "histogram histogram2d histogram_bin_edges histogramdd hsplit hstack hypot i0 identity iinfo imag in1d index_exp "
    "indices inexact inf inner insert int16 int32 int64 int8 int_ intc integer interp intersect1d intp invert isclose "
    "iscomplex iscomplexobj isdtype isfinite isfortran isin isinf isnan isnat isneginf isposinf isreal isrealobj "
    "isscalar issubdtype iterable ix_ kaiser kron lcm ldexp left_shift less less_equal lexsort linalg linspace "
    "little_endian log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logspace "
    "long longdouble longlong mask_indices matmul matrix_transpose matvec max maximum may_share_memory mean median "
    "meshgrid mgrid min min_scalar_type minimum mintypecode mod modf moveaxis multiply nan nan_to_num nanargmax "
    "nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum "
    "nanvar ndarray ndenumerate ndim ndindex nditer negative newaxis nextafter nonzero not_equal number ogrid ones "
    "ones_like outer packbits pad partition percentile permute_dims pi piecewise place poly poly1d polyadd polyder "
    "polydiv polyfit polyint polymul polysub polyval positive pow power printoptions prod product promote_types ptp "
    "put put_along_axis putmask quantile r_ rad2deg radians random ravel ravel_multi_index real real_if_close "
    "reciprocal remainder repeat require reshape resize result_type right_shift rint roll rollaxis roots rot90 round "
    "row_stack s_ searchsorted select set_printoptions setdiff1d seterr setxor1d shape shares_memory short sign "
    "signbit signedinteger sin sinc single sinh size sometrue sort sort_complex spacing split sqrt square squeeze "
    "stack std str_ subtract sum swapaxes take take_along_axis tan tanh tensordot tile trace transpose trapezoid "
    "trapz tri tril tril_indices tril_indices_from trim_zeros triu triu_indices triu_indices_from true_divide trunc "
    "typename ubyte uint uint16 uint32 uint64 uint8 uintc uintp ulong ulonglong unicode_ union1d unique unique_all "
    "unique_counts unique_inverse unique_values unpackbits unravel_index unsignedinteger unstack unwrap ushort vander "
    "var vdot vecdot vecmat vectorize vsplit vstack where zeros zeros_like".split()
)
_RANDOM_ALLOWED = frozenset(
    "Generator MT19937 PCG64 PCG64DXSM Philox RandomState SFC64 SeedSequence beta binomial bytes chisquare choice "
    "default_rng dirichlet exponential f gamma geometric gumbel hypergeometric laplace logistic lognormal logseries "
    "multinomial multivariate_normal negative_binomial noncentral_chisquare noncentral_f normal pareto permutation "
    "poisson power rand randint randn random random_integers random_sample ranf rayleigh sample seed shuffle "
    "standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular uniform vonmises wald "
    "weibull zipf".split()
)
_RE_DENIED = frozenset("template Scanner purge".split())
_STRING_ALLOWED = frozenset(
    "ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable punctuation "
    "whitespace".split()
)
_COLLECTIONS_ALLOWED = frozenset("ChainMap Counter OrderedDict defaultdict deque namedtuple".split())

# Names that lead from a value to the interpreter, to raw memory, to files, or to what outlives a text.
ATTRIBUTES_DENIED = frozenset(
    "ag_await ag_code ag_frame base bit_generator builtins byteswap capsule cffi co_code cr_await cr_code cr_frame "
    "cr_origin ctypes data dump dumps f_back f_builtins f_code f_globals f_locals flags format_map func_code "
    "func_globals getfield gi_code gi_frame gi_yieldfrom lock mro newbyteorder operands precompute set_state setfield "
    "setflags strides tb_frame tb_lasti tb_next tofile type with_traceback".split()
)
# Some of these are everyday names too: on objects of its own classes, a program may use them.
OWN_ATTRIBUTES = frozenset("base data dump flags lock operands type".split())
# Methods that make arrays of any type; what they give is checked, so they are called where they are named.
CALLED_ONLY = frozenset({"astype", "view"})
# Their templates can read attributes, so they are seen in the source.
LITERAL_ONLY = frozenset({"format"})
_KNOWN_TYPES = (
    *(Text, TokenizerView, Encoding, Ids, np.ndarray, np.dtype, np.generic, np.float64, np.int64, np.str_, np.bool_),
    *(np.random.Generator, np.random.RandomState, np.finfo, np.iinfo, np.nditer, np.ufunc, np.vectorize, np.poly1d),
    *(str, bytes, bytearray, list, tuple, dict, set, frozenset, int, float, complex, range, slice),
    *(re.Pattern, re.Match, collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque),
    *(collections.ChainMap, itertools.chain),
)


@cache
def module_names(module: str) -> Mapping[str, object]:
    """What a program may use of a module that it may import, by name.

    Args:
        module: one of `MODULES`, or `numpy.random`, `numpy.linalg`, `numpy.fft`.
    """
    tests: dict[str, tuple[object, Callable[[str], bool]]] = {
        "numpy": (np, lambda name: name in _NUMPY_ALLOWED),
        "numpy.random": (np.random, lambda name: name in _RANDOM_ALLOWED),
        "numpy.linalg": (np.linalg, lambda name: name in np.linalg.__all__),
        "numpy.fft": (np.fft, lambda name: name in np.fft.__all__),
        "math": (math, lambda name: True),
        "re": (re, lambda name: name in re.__all__ and name not in _RE_DENIED),
        "collections": (collections, lambda name: name in _COLLECTIONS_ALLOWED),
        "itertools": (itertools, lambda name: True),
        "string": (string, lambda name: name in _STRING_ALLOWED),
    }
    source, allowed = tests[module]
    return {name: getattr(source, name) for name in dir(source) if not name.startswith("_") and allowed(name)}


@cache
def known_attributes() -> frozenset[str]:
    """Public attribute names of everything that a program can come to hold, the forbidden ones taken out."""
    names = {name for known in _KNOWN_TYPES for name in dir(known)} | {"args", *ENCODED}
    text = Text(["a"])
    names.update([*vars(text), *vars(text.tokenizer)])
    for module in (*MODULES, *SUBMODULES):
        names.update(module_names(module))
    return frozenset(name for name in names if not name.startswith("_")) - ATTRIBUTES_DENIED


def allowed_attribute(name: str) -> bool:
    """Whether a program may ask for an attribute by `getattr`."""
    return name in known_attributes() and name not in CALLED_ONLY | LITERAL_ONLY
