import pytest

from evolve.config import Stop
from evolve.stopping import Progress, conditions, stop_reason


@pytest.mark.parametrize(
    ("stop", "progress", "reason"),
    [
        ({"max_programs": 10}, Progress(10, 0, 0, 0), "max_programs"),
        ({"max_seconds": 5}, Progress(1, 5.1, 0, 0), "max_seconds"),
        ({"target_iou": 0.5}, Progress(1, 1, 0.5, 0), "target_iou"),
        ({"patience": 5}, Progress(10, 1, 0.5, 5), "patience"),
        ({"max_programs": 10, "patience": 5, "target_iou": 0.9, "max_seconds": 9}, Progress(9, 8, 0.8, 5), None),
    ],
)
def test_each_condition_ends_the_campaign_at_its_limit_and_says_so(tmp_path, stop, progress, reason):
    found = stop_reason(conditions(Stop(**stop), tmp_path), progress)
    assert found == reason if reason is None else found.startswith(reason)


def test_a_stop_file_ends_the_campaign(tmp_path):
    asked = conditions(Stop(max_programs=10), tmp_path)
    assert stop_reason(asked, Progress(1, 1, 0, 1)) is None
    (tmp_path / "stop").touch()
    assert "remove it to resume" in stop_reason(asked, Progress(1, 1, 0, 1))
