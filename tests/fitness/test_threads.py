import threading

import joblib
import pytest
import scipy.linalg  # noqa: F401  # its BLAS is to be limited too
from threadpoolctl import threadpool_info, threadpool_limits

from fitness.scoring.pool import Pool
from fitness.scoring.threads import one_thread, one_thread_for_good


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def in_a_thread(function):
    """Limits are the affair of the thread that sets them, until it ends."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def limited():
    one_thread_for_good()
    return blas_threads()


@pytest.fixture(autouse=True)
def several_threads():
    before = max(blas_threads())
    in_a_thread(lambda: threadpool_limits(2, user_api="blas"))
    assert blas_threads() == {2}
    yield
    in_a_thread(lambda: threadpool_limits(before, user_api="blas"))


def test_one_thread_computes_within_the_context_and_as_many_as_before_after_it():
    with one_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_overlapping_contexts_of_two_threads_lift_the_limit_when_the_last_one_ends():
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with one_thread():
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=hold)
    with one_thread():
        other.start()
        assert inside.wait(60)
    assert blas_threads() == {1}
    leave.set()
    other.join()
    assert blas_threads() == {2}


def test_a_pool_of_one_worker_computes_here_with_one_thread():
    assert Pool(1).run([(blas_threads, ())]) == [{1}]
    assert blas_threads() == {2}


def test_a_worker_process_is_limited_for_good():
    parallel = joblib.Parallel(n_jobs=2)
    assert list(parallel(joblib.delayed(function)() for function in (limited, limited))) == [{1}, {1}]
