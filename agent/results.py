"""Declares the limits and the result of a run."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from ..engine import Result, validation


@dataclasses.dataclass(frozen=True)
class AgentLimits:
    """Bounds a run. Where one is reached, the result says which and holds the best so far.

    Attributes:
        requests: Questions to the language model. An endpoint that fails is asked up to twice
            more, which does not count.
        phrases: Phrases that are segmented.
        candidates: Instances that are shown to the language model.
        examined: Candidates that are shown from near in one request.
        wrong_answers: Answers in a row that are no possible action.
        picture_side_px: Longer side of a picture that is sent.
        request_s: Seconds that one answer may take.
        total_s: Seconds that the run may take.

    Raises:
        ValueError: If a number is out of range.
    """

    requests: int = 12
    phrases: int = 6
    candidates: int = 40
    examined: int = 8
    wrong_answers: int = 3
    picture_side_px: int = 1024
    request_s: float = 60
    total_s: float = 300

    def __post_init__(self) -> None:
        for name, most in (
            ("requests", 1000),
            ("phrases", 100),
            ("candidates", 200),
            ("examined", 40),
            ("wrong_answers", 100),
        ):
            validation.to_whole_number(name, getattr(self, name), 1, most)
        validation.to_whole_number("picture_side_px", self.picture_side_px, 64, 4096)
        validation.to_number("request_s", self.request_s, 0.01, 3600)
        validation.to_number("total_s", self.total_s, 0.01, 86400)


@dataclasses.dataclass(frozen=True)
class Step:
    """Describes one request and what came of it.

    Attributes:
        request: Its number, from 1.
        action: What the language model wanted, shortened.
        outcome: What came of it.
    """

    request: int
    action: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.request}. {self.action}: {self.outcome}"


@dataclasses.dataclass(frozen=True)
class AgentResult:
    """Holds what was found for a description.

    Attributes:
        result: The chosen instances, by falling score; their one class is the description. Those
            of ``gave_up`` are the best so far: the candidates of the newest phrase that found any.
        status: ``selected``; ``none`` if the language model says that nothing fits; ``gave_up``
            where a limit ended the run.
        phrases: How many instances each phrase found, in the order in which they were tried.
        requests: Questions to the language model.
        tokens: Of all requests and answers; 0 where the server does not count them.
        steps: What happened, request by request.
        limits_reached: A sentence for each limit that was reached.
    """

    result: Result
    status: Literal["selected", "none", "gave_up"]
    phrases: dict[str, int]
    requests: int
    tokens: int
    steps: tuple[Step, ...]
    limits_reached: tuple[str, ...] = ()

    @property
    def transcript(self) -> str:
        """The steps, a line each."""
        return "\n".join(map(str, self.steps))

    def to_dict(self) -> dict[str, Any]:
        """Converts all but the instances to plain data."""
        return {
            "status": self.status,
            "phrases": self.phrases,
            "requests": self.requests,
            "tokens": self.tokens,
            "limits_reached": list(self.limits_reached),
            "transcript": [str(step) for step in self.steps],
        }
