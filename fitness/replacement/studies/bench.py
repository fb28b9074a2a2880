"""What all stages of a study of replacement share: the model under measurement, its texts, and what was measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.heads import Head
from fitness.models.loading import Reader
from fitness.models.observe import inspect_heads
from fitness.replacement.identity import Identity, prove_identity
from fitness.replacement.lower_layers import LowerLayers, without_cache
from fitness.replacement.measurements import Measurements
from fitness.replacement.override import Assignment
from fitness.replacement.perplexity import Losses, Meter
from fitness.replacement.predictions import SandboxPredictions
from fitness.replacement.studies.attribution import Estimator
from fitness.replacement.studies.conditions import HeadPrograms, by_iou, heads_at
from fitness.replacement.studies.fitted import mean_outputs
from fitness.replacement.studies.intervals import Resampler
from fitness.replacement.studies.settings import Settings
from fitness.text.view import Text

IDENTITY_TEXTS = 2
FIT_TEXTS_FOR_OUTPUTS = 24
# The fastest counts: whatever else the machine does makes one pass slower, never faster.
TIMED_PASSES = 3

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SplitTexts:
    """Texts by split: `fit` gives mean outputs, `held_out` the order of least cost, `test` every number reported."""

    fit: Sequence[Text]
    held_out: Sequence[Text]
    test: Sequence[Text]


class Bench:
    """A model under measurement. Identity is proven first; without it there is no bench.

    Attributes:
        explanation: the programs and what stands beside them.
        settings: what is asked.
        causal: whether the model is causal.
        identity: the proof.
        shared: whether states of lower layers are shared by all conditions.
        meter: measures on the test texts.
        mean_output: each head's mean output, or None where outputs are out of reach.
        resampler: bootstrap over the test texts.
        pass_seconds: what one forward pass over the test texts takes, measured on one batch.

    Raises:
        IdentityError: where replacement is not exact for this model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        explanation: HeadPrograms,
        texts: SplitTexts,
        source: SandboxPredictions,
        settings: Settings,
        *,
        kept: Measurements | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.explanation = explanation
        self.settings = settings
        self.causal = inspect_heads(model)[2]
        reader = Reader(tokenizer)
        self.identity: Identity = prove_identity(model, reader, texts.test[:IDENTITY_TEXTS])
        lower = LowerLayers(model, reader, texts.test[0])
        self.shared = lower.works
        self.layers = model.config.get_text_config().num_hidden_layers
        self._progress = progress
        self._model, self._tokenizer, self._source = model, tokenizer, source
        self._texts = texts
        self._kept = kept or Measurements()
        self.meter = Meter(model, tokenizer, source, texts.test, causal=self.causal, kept=self._kept, lower=lower)
        self.mean_output = mean_outputs(model, texts.fit[:FIT_TEXTS_FOR_OUTPUTS])
        self.resampler = Resampler(len(texts.test), settings.seed)
        self.pass_seconds = self._time_a_pass()

    @property
    def order(self) -> list[Head]:
        """Heads, the best explained first."""
        return by_iou(self.explanation.assignment, self.explanation.head_iou)

    @property
    def counts(self) -> list[int]:
        """Numbers of heads at the fractions, rising."""
        return heads_at(sorted(set(self.settings.fractions)), len(self.explanation.assignment))

    def estimator(self, *, held_out: bool) -> Estimator:
        """Estimates costs on the test texts, or on the held-out texts that the order of least cost is searched on."""
        texts = self._texts.held_out[: self.settings.search_texts] if held_out else self._texts.test
        return Estimator(
            self._model,
            self._tokenizer,
            self._source,
            texts,
            causal=self.causal,
            seed=self.settings.seed,
            kept=self._kept,
        )

    def stage(self, name: str) -> Callable[[int, int], None] | None:
        """What is to be called with the steps done and all of a stage."""
        progress = self._progress
        return None if progress is None else lambda done, total: progress(name, done, total)

    def failed_programs(self) -> dict[str, int]:
        """Runs every assigned program on every test text; program id -> number of texts on which it fails."""
        failed = {}
        for program in {p.id: p for p in self.explanation.assignment.values()}.values():
            missing = sum(prediction is None for prediction in self._source(program, self._texts.test))
            if missing:
                failed[program.id] = missing
        return failed

    def measure(self, stage: str, assignments: Mapping[Any, Assignment]) -> dict[Any, Losses]:
        """Scores on the test texts, with progress; the cheapest to tell, the original, comes with them."""
        return self.meter.measure({"original": {}, **assignments}, self.stage(stage))

    def _time_a_pass(self) -> float:
        text = max(self._texts.test, key=len)
        ids = torch.tensor([text.ids.tolist()], device=self._model.device)
        tokens = sum(text.n for text in self._texts.test)
        taken = []
        for _ in range(TIMED_PASSES):
            began = time.perf_counter()
            with torch.no_grad():
                self._model(input_ids=ids, **without_cache(self._model))
            taken.append(time.perf_counter() - began)
        return min(taken) * tokens / text.n
