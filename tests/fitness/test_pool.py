import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from fitness.errors import UserError
from fitness.scoring.growth import may_grow
from fitness.scoring.pool import ATTEMPTS, Pool, split_evenly

KEPT = []


def square_after_dying_once(number, marker):
    """Kills its own process the first time that it is called with a marker."""
    if marker and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_come_in_the_order_of_the_tasks():
    assert Pool(2).run([(pow, (number, 2)) for number in range(20)]) == [number**2 for number in range(20)]


def test_a_lost_worker_is_an_incident_and_its_tasks_run_again(tmp_path):
    incidents = []
    tasks = [(square_after_dying_once, (n, str(tmp_path / "died") if n == 3 else "")) for n in range(6)]
    assert Pool(2, on_incident=incidents.append).run(tasks) == [0, 1, 4, 9, 16, 25]
    assert len(incidents) == 1
    assert "a worker process was lost" in incidents[0]


def test_tasks_that_kill_every_worker_are_given_up():
    incidents = []
    with pytest.raises(BrokenProcessPool):
        Pool(2, on_incident=incidents.append).run([(die, ()), (die, ())])
    assert len(incidents) == ATTEMPTS


def keep(megabytes):
    """Keeps so much more memory; gives the process, after long enough for loky to look at it again."""
    may_grow()
    KEPT.append(np.ones(megabytes * 1_000_000 // 8))
    time.sleep(1.2)
    return os.getpid()


@pytest.mark.slow
def test_a_worker_that_grows_is_kept():
    pytest.importorskip("psutil")  # without it, loky looks at no worker's memory
    pool = Pool(2)
    first, *later = ({*pool.run([(keep, (200,)), (keep, (200,))])} for _ in range(4))
    assert all(found <= first for found in later)


def test_an_unknown_backend_is_refused_with_those_known():
    with pytest.raises(UserError, match=r"joblib has no backend 'lokee'; known: .*loky"):
        Pool(2, "lokee")


@pytest.mark.parametrize(("count", "parts", "lengths"), [(5, 2, [2, 3]), (2, 4, [1, 1]), (0, 3, [])])
def test_items_are_cut_evenly_and_no_part_is_empty(count, parts, lengths):
    cut = split_evenly(range(count), parts)
    assert [len(part) for part in cut] == lengths
    assert [item for part in cut for item in part] == list(range(count))
