"""Declares what a fine-tuning tells whoever watches it, and asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .loop import Progress


class TrainingObserver:
    """Watches a fine-tuning; the base class shows nothing and never stops it."""

    def tell(self, sentence: str) -> None:
        """Takes a sentence for people."""

    def count(self, title: str, done: int, total: int) -> None:
        """Takes the progress of work before and after the steps, as in ``Encoding``, 3 of 40."""

    def step(self, progress: Progress) -> None:
        """Takes the progress after each step."""

    def should_stop(self) -> bool:
        """Tells whether to stop after this step; the same call goes on later."""
        return False


class StoppedByUserError(RuntimeError):
    """A training was stopped; what is done is kept."""
