"""The configuration of a campaign: its keys, their defaults, and what must hold between them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from evolve.config.llm import Llm
from evolve.config.section import Count, Section
from evolve.config.texts import TextSource, TextSources
from fitness.errors import nearest
from fitness.models.source import Device, Dtype, ModelSource, locate
from fitness.own import is_own
from fitness.scoring.descriptors import DESCRIPTORS
from fitness.scoring.iou import Across
from fitness.text.sources import TextsBy
from operators.registry import LLM_OPERATORS, OFFLINE_OPERATORS

# What a campaign of one domain is checked on: the first that is not its own.
CHECKS = ("python-docs", "stories")
# Tables that are fitted abroad are scored on texts that they were not fitted on.
FEWEST_TEXTS = 4


class SplitSizes(Section):
    """Numbers of texts of each domain.

    Attributes:
        fit: what operators see.
        held_out: what fitness is measured on.
        test: what is read at the end, and never by the search.
    """

    fit: Count = 24
    held_out: Count = 32
    test: Count = 32


class Stop(Section):
    """When a campaign ends; whichever comes first.

    Attributes:
        max_programs: programs evaluated, in whole steps.
        max_seconds: seconds of all sessions together.
        target_iou: mean over heads of the best held-out IoU.
        patience: programs evaluated without a gain for any head.
    """

    max_programs: Count | None = None
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    target_iou: Annotated[float, Field(gt=0, le=1)] | None = None
    patience: Count | None = None

    @model_validator(mode="after")
    def _some_end(self) -> Stop:
        if all(value is None for value in (self.max_programs, self.max_seconds, self.target_iou, self.patience)):
            raise ValueError("set at least one of max_programs, max_seconds, target_iou, patience")
        return self


class Parallel(Section):
    """How work is spread over this machine, or over a cluster.

    Attributes:
        backend: a joblib backend, or `dask`: campaigns run on the workers of a Dask scheduler (extra `cluster`).
        workers: processes on this machine; results do not depend on it.
        scheduler: the Dask scheduler's address, `tcp://host:port`.
    """

    backend: str = "loky"
    workers: Count = 2
    scheduler: str | None = None

    @model_validator(mode="after")
    def _dask_has_a_scheduler(self) -> Parallel:
        if self.backend == "dask" and self.scheduler is None:
            raise ValueError("backend: dask wants a scheduler, such as tcp://localhost:8786")
        if self.backend != "dask" and self.scheduler is not None:
            raise ValueError(f"a scheduler wants backend: dask, not {self.backend}")
        return self


class Search(Section):
    """The shape of the search.

    Attributes:
        batch: slots per step.
        lag: pipeline depth, which is how many steps before their evaluation programs are proposed; slow proposals
            (an LLM's) want more.
        across: what fitness is of several domains: the mean over them of the mean IoU on the texts of each, or that of
            the domain where a head is explained worst.
        choice: how slots are given to operators: by the reward of each so far, or by their fixed shares.
        bins: bins of each descriptor axis.
        descriptors: the behaviour axes; one's own as `package.module:name`.
    """

    batch: Count = 32
    lag: Count = 1
    across: Across = "mean"
    choice: Literal["shares", "bandit"] = "bandit"
    descriptors: tuple[str, ...] = ("reach", "focus", "sink", "content")
    bins: Count = 5

    @field_validator("descriptors")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in DESCRIPTORS and not is_own(name):
                raise ValueError(f"unknown descriptor {name!r}{nearest(name, DESCRIPTORS)}")
        if not names or len(set(names)) < len(names):
            raise ValueError("name at least one descriptor, each once")
        return names


class SandboxSettings(Section):
    """How programs are confined.

    Attributes:
        mode: strict refuses to run where the kernel cannot confine programs; degraded runs at one's own risk.
        cpu_seconds: CPU time of one program over all texts of a split.
        memory_mb: address space of one program.
    """

    mode: Literal["strict", "degraded"] = "strict"
    cpu_seconds: Annotated[float, Field(gt=0)] = 2.0
    memory_mb: Annotated[int, Field(ge=64)] = 512


class LibrarySettings(Section):
    """How the library is chosen.

    Attributes:
        epsilon: a program covers a head when its held-out IoU is within this of the head's best.
    """

    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.02


class Config(Section):
    """All that a campaign is asked to do.

    Attributes:
        model: folder, `.gguf` file, bundled name or hub name of the target.
        revision: branch, tag or commit of a hub model.
        dtype: type of the model's weights; `auto` is the checkpoint's own.
        device: where the model runs; `auto` is a CUDA GPU where there is one.
        device_map: `auto` spreads a model over devices, memory and disk (extra `accelerate`).
        texts: what programs are to explain the model on, one source or several, each of them a domain.
        texts_by: what separates the texts of `.txt` files: blank lines, or every line's end.
        transfer: texts of other domains, read at the end; left out, a built-in one serves as a check of a campaign of a
            single domain; [] is none.
        max_tokens: length to which texts are cut.
        seed: of everything that is drawn; the same seed gives the same library.
        operators: operator -> share of the slots; one's own as `package.module:Name`.
        attention_cache: folder for captured attention; None is the user's cache folder.
    """

    model: str
    revision: str | None = None
    dtype: Dtype = "float32"
    device: Device = "auto"
    device_map: str | None = None
    texts: Annotated[TextSources, Field(min_length=1)]
    texts_by: TextsBy = "blank_line"
    transfer: TextSources | None = None
    max_tokens: Annotated[int, Field(ge=2)] = 64
    splits: SplitSizes = SplitSizes()
    seed: Annotated[int, Field(ge=0)] = 0
    stop: Stop
    parallel: Parallel = Parallel()
    search: Search = Search()
    sandbox: SandboxSettings = SandboxSettings()
    operators: dict[str, Annotated[float, Field(ge=0)]] = {
        "residual": 2,
        "tweak": 2,
        "genetic": 1,
        "constants": 1,
        "simplify": 1,
    }
    llm: Llm = Llm()
    library: LibrarySettings = LibrarySettings()
    attention_cache: Path | None = None

    @field_validator("operators")
    @classmethod
    def _known(cls, shares: dict[str, float]) -> dict[str, float]:
        known = [*OFFLINE_OPERATORS, *LLM_OPERATORS]
        for name in shares:
            if name not in known and not is_own(name):
                raise ValueError(f"unknown operator {name!r}{nearest(name, known)}")
        if not sum(shares.values()) > 0:
            raise ValueError("give at least one operator a share above 0")
        return shares

    @model_validator(mode="after")
    def _domains_differ(self) -> Config:
        names = [source.name for source in (*self.texts, *self.abroad)]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"texts and transfer name the domain {twice[0]!r} twice; give each a `domain` of its own")
        return self

    @model_validator(mode="after")
    def _has_models(self) -> Config:
        asked = [name for name in self.operators if name in LLM_OPERATORS and self.operators[name] > 0]
        if asked and not self.llm.models:
            raise ValueError(f"operator {asked[0]!r} needs llm.models; name one, or use offline operators only")
        return self

    @model_validator(mode="after")
    def _can_go_on(self) -> Config:
        if self.llm.budget.when_spent == "offline" and not self._works_offline:
            raise ValueError("llm.budget.when_spent: offline wants an offline operator with a share above 0")
        return self

    @property
    def _works_offline(self) -> bool:
        return any(share > 0 and name not in LLM_OPERATORS for name, share in self.operators.items())

    @property
    def when_spent(self) -> Literal["stop", "offline"]:
        """What a campaign does when the budget for language models is spent."""
        return self.llm.budget.when_spent or ("offline" if self._works_offline else "stop")

    @property
    def abroad(self) -> tuple[TextSource, ...]:
        """The domains that are read at the end: as configured, or the check of a campaign of one domain."""
        if self.transfer is not None:
            return self.transfer
        if len(self.texts) > 1 or self.splits.test < FEWEST_TEXTS:
            return ()
        taken = {self.texts[0].source, self.texts[0].name}
        return (TextSource(source=next(name for name in CHECKS if name not in taken)),)

    def target(self) -> ModelSource:
        """The model, found but not loaded.

        Raises:
            UserError: where there is none, or the hub cannot be reached.
        """
        return locate(
            self.model, revision=self.revision, dtype=self.dtype, device=self.device, device_map=self.device_map
        )

    def fingerprint(self) -> dict[str, Any]:
        """What must not change between a campaign and its continuation, by key."""
        named = {"model", "revision", "dtype", "texts", "texts_by", "max_tokens", "splits", "seed"}
        kept = self.model_dump(mode="json", include=named)
        kept |= {f"search.{name}": value for name, value in self.search.model_dump(mode="json").items()}
        return kept | {"sandbox.cpu_seconds": self.sandbox.cpu_seconds, "sandbox.memory_mb": self.sandbox.memory_mb}

    def digest(self) -> str:
        """Hash of the whole configuration."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]
