import numpy as np
import pytest
from fit_scene import HEADS, shared

from operators.shared.dense import dense_ious, dense_sources, fit_dense, values_of
from operators.shared.fit_scoring import fit_scorer


@pytest.fixture(scope="module")
def scene():
    scorer = fit_scorer(shared()[0])
    return scorer.sample, values_of(dense_sources(scorer), scorer.sample)


def test_gradients_of_several_heads_are_those_of_each(scene):
    sample, values = scene
    rng = np.random.default_rng(0)
    scores = (rng.normal(size=(len(HEADS), 3)).astype(np.float32) @ values[:3]).astype(np.float32)
    attention = np.stack([sample.attention(head) for head in range(len(HEADS))])
    ious, slopes = sample.ious_and_score_gradients(scores, attention)
    for head in range(len(HEADS)):
        iou, slope, _ = sample.iou_and_score_gradient(scores[head], head)
        assert ious[head] == pytest.approx(iou, abs=1e-6)
        assert np.allclose(slopes[head], slope, atol=1e-7)


def test_a_dense_model_explains_what_sums_of_patterns_can(scene):
    sample, values = scene
    heads = [HEADS.index(label) for label in ("L0H1", "L0H2", "L0H4")]
    ious = dense_ious(fit_dense(values, sample, heads), values, sample, heads)
    assert ious.min() > 0.85
