"""When a campaign ends: conditions as values; the first that holds gives the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evolve.config import Stop

STOP_FILE = "stop"


@dataclass(frozen=True)
class Progress:
    """How far a campaign is.

    Attributes:
        programs: programs evaluated.
        seconds: wall time of all sessions.
        mean_iou: mean over heads of the best held-out IoU.
        last_gain: programs evaluated when a head last improved.
    """

    programs: int
    seconds: float
    mean_iou: float
    last_gain: int


class StopCondition(Protocol):
    """Something that can end a campaign."""

    def reason(self, progress: Progress) -> str | None:
        """Why the campaign ends here, or None."""
        ...


@dataclass(frozen=True)
class MaxPrograms:
    """Ends when `limit` programs were evaluated."""

    limit: int

    def reason(self, progress: Progress) -> str | None:
        """Why the campaign ends here, or None."""
        return f"max_programs: {self.limit} programs were evaluated" if progress.programs >= self.limit else None


@dataclass(frozen=True)
class MaxSeconds:
    """Ends when all sessions together took `limit` seconds."""

    limit: float

    def reason(self, progress: Progress) -> str | None:
        """Why the campaign ends here, or None."""
        return f"max_seconds: {self.limit:g} seconds have passed" if progress.seconds >= self.limit else None


@dataclass(frozen=True)
class TargetIou:
    """Ends when the mean best held-out IoU reaches `target`."""

    target: float

    def reason(self, progress: Progress) -> str | None:
        """Why the campaign ends here, or None."""
        return f"target_iou: mean IoU {progress.mean_iou:.3f}" if progress.mean_iou >= self.target else None


@dataclass(frozen=True)
class Patience:
    """Ends when no head improved over `programs` programs."""

    programs: int

    def reason(self, progress: Progress) -> str | None:
        """Why the campaign ends here, or None."""
        waited = progress.programs - progress.last_gain
        return f"patience: no head improved over {waited} programs" if waited >= self.programs else None


@dataclass(frozen=True)
class StopFile:
    """Ends when a file appears; for those who cannot send a signal."""

    path: Path

    def reason(self, progress: Progress) -> str | None:
        """Why the campaign ends here, or None."""
        return f"stop file: {self.path} is there; remove it to resume" if self.path.exists() else None


def conditions(stop: Stop, run_dir: Path) -> list[StopCondition]:
    """The conditions that a configuration asks for, and the stop file."""
    asked: list[StopCondition] = [StopFile(run_dir / STOP_FILE)]
    if stop.max_programs is not None:
        asked.append(MaxPrograms(stop.max_programs))
    if stop.max_seconds is not None:
        asked.append(MaxSeconds(stop.max_seconds))
    if stop.target_iou is not None:
        asked.append(TargetIou(stop.target_iou))
    if stop.patience is not None:
        asked.append(Patience(stop.patience))
    return asked


def stop_reason(asked: Sequence[StopCondition], progress: Progress) -> str | None:
    """The first reason to end, or None."""
    return next((reason for condition in asked if (reason := condition.reason(progress))), None)
