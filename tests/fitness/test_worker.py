from contextlib import closing

import model_zoo
import numpy as np
import pytest

from fitness.models.capture import capture
from fitness.program import Program
from fitness.scoring.baselines import baselines
from fitness.scoring.iou import iou_by_text
from fitness.scoring.worker import Worker, WorkerSpec

STORIES = ["Tom had a ball. He loved it.", "A duck swam fast, and Tom said no!", model_zoo.STORY, "One day it rained."]
# They predict the same to five decimals, and not to the last bit.
SOURCE = "def program(text):\n    return (0.7 * (0.1 + text.is_name) ** {}) / (1 + text.distance**2)\n"
ONE, TWIN = Program.parse(SOURCE.format(0.37)), Program.parse(SOURCE.format(0.3700003))


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    attention = capture(str(model_zoo.save("llama", folder / "model")), STORIES, max_tokens=24, cache=folder / "cache")
    return WorkerSpec(str(attention.folder), 1, 2, 1, ("reach", "content"))


def evaluated(spec, *programs):
    worker = Worker(spec)
    try:
        return [worker.evaluate(program, "held_out") for program in programs]
    finally:
        worker.close()


def test_what_a_program_scores_does_not_depend_on_what_its_worker_met_before(spec):
    (alone,) = evaluated(spec, TWIN)
    first, after = evaluated(spec, ONE, TWIN)
    assert first.signature == after.signature
    assert not np.array_equal(first.scores, alone.scores)  # or this test would say nothing
    assert np.array_equal(after.scores, alone.scores)
    assert np.array_equal(after.descriptors, alone.descriptors)


def test_programs_that_are_evaluated_together_are_each_what_they_are_alone(spec):
    failing = Program.parse("def program(text):\n    return 1 / 0\n")
    programs = [ONE, failing, TWIN, *baselines().values()]
    with closing(Worker(spec)) as worker:
        together = worker.evaluate_all(programs, "held_out")
    assert together[1].failure
    for found, alone in zip(together, evaluated(spec, *programs), strict=True):
        assert np.array_equal(found.scores, alone.scores)
        assert np.array_equal(found.descriptors, alone.descriptors)
        assert (found.kind, found.message, found.signature) == (alone.kind, alone.message, alone.signature)


@pytest.mark.parametrize("together", [True, False])
def test_equal_predictions_are_scored_once(spec, monkeypatch, together):
    scored = []

    def counted(predictions, *values):
        scored.append(len(predictions))
        return iou_by_text(predictions, *values)

    monkeypatch.setattr("fitness.scoring.worker.iou_by_text", counted)
    same = Program.parse(ONE.source.replace("return ", "weights = ") + "    return weights\n")
    if together:
        with closing(Worker(spec)) as worker:
            one, two = worker.evaluate_all([ONE, same], "held_out")
    else:
        one, two = evaluated(spec, ONE, same)
    assert scored == [1]
    assert np.array_equal(one.scores, two.scores)


def test_splits_are_those_of_the_specification(spec):
    worker = Worker(spec)
    try:
        assert [worker.evaluate(ONE, split).scores.shape[1] for split in ("fit", "held_out", "test")] == [1, 2, 1]
        assert [text.string for text in worker.view().texts] == STORIES[:1]
    finally:
        worker.close()


EXTREME = [
    "np.exp(-3.0 * text.distance)",
    "np.exp(4.0 * text.distance)",
    "np.where(text.distance < 0, {}, 1.0 * text.same)",
]


@pytest.mark.parametrize("weights", [EXTREME[0], EXTREME[1], *(EXTREME[2].format(w) for w in ("1e308", "1e-308", "7"))])
def test_weights_above_the_diagonal_change_nothing(spec, weights):
    plain = Program.parse(f"def program(text):\n    return {weights}\n")
    masked = Program.parse(f"def program(text):\n    return np.where(text.distance >= 0, {weights}, 0)\n")
    one, two = evaluated(spec, plain, masked)
    assert (one.kind, two.kind) == ("ok", "ok")
    assert np.array_equal(one.scores, two.scores)
    assert np.array_equal(one.descriptors, two.descriptors)
    assert one.signature == two.signature


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-30, 1e30, 1e300])
def test_a_row_s_scale_changes_nothing(spec, scale):
    one, two = evaluated(
        spec, *(Program.parse(f"def program(text):\n    return {s} * (1.0 + text.same)\n") for s in (1.0, scale))
    )
    assert two.ok
    assert np.allclose(one.scores, two.scores, rtol=1e-3)
