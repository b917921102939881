"""Runs the loop: ask the language model, do what it asks for, show it what came of that."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from ..engine import ConceptPrompt, Instance, Prompt, Result, validation
from ..engine.images import RgbImage
from . import prompts
from .actions import (
    Examine,
    NothingFits,
    Segment,
    Select,
    WrongAnswerError,
    clean_text,
    parse_action,
)
from .candidates import Candidates
from .chat import Answer, Chat, Message, wait_for_answer
from .pictures import draw_near, encode_picture, shrink
from .results import AgentLimits, AgentResult, Step

MAX_KEPT_CHARS = 500
"""Characters of an answer that stay in the conversation; the transcript has fewer."""

MAX_SHOWN_CHARS = 120


class Segmenter(Protocol):
    """Declares the method of an engine that the loop calls."""

    def segment(self, image: RgbImage, prompt: Prompt) -> Result:
        """Segments an image, see ``Engine.segment``."""


class _LimitReachedError(Exception):
    """Ends the loop; the message is a sentence for the user."""


def find_described(
    engine: Segmenter,
    image: RgbImage,
    description: str,
    chat: Chat,
    limits: AgentLimits = AgentLimits(),  # noqa: B008 - frozen
    make_prompt: Callable[[str], ConceptPrompt] = lambda phrase: ConceptPrompt((phrase,)),
    on_request: Callable[[int], None] = lambda number: None,
    check_stop: Callable[[], None] = lambda: None,
) -> AgentResult:
    """Finds what a description means, with a language model that sees pictures.

    The language model names phrases, the engine segments them, and the language model chooses
    among what was found. It can do nothing else. The image is encoded once, by the engine's cache.

    Args:
        engine: What segments phrases, an ``Engine`` for instance.
        image: (H, W, 3) uint8, RGB.
        description: What is looked for: "the leftmost person without a helmet".
        chat: The language model: any callable that takes messages of OpenAI's chat completions,
            or a :class:`.endpoint.ChatEndpoint`.
        limits: What the run may take.
        make_prompt: Makes the prompt of a phrase, with a threshold for instance.
        on_request: Called after each answer with the number of requests so far.
        check_stop: Called often, also while an answer is awaited. What it raises ends the run.

    Returns:
        What was chosen, and how.

    Raises:
        ValueError: If the description is blank, too long or cannot be printed.
        EndpointError: If the server of a ``ChatEndpoint`` cannot be used.
    """
    description = validation.to_description("description", description)
    run = _Run(engine, image, description, chat, limits, make_prompt, on_request, check_stop)
    return run.run()


class _Run:
    """Holds the state of one run."""

    def __init__(
        self,
        engine: Segmenter,
        image: RgbImage,
        description: str,
        chat: Chat,
        limits: AgentLimits,
        make_prompt: Callable[[str], ConceptPrompt],
        on_request: Callable[[int], None],
        check_stop: Callable[[], None],
    ) -> None:
        self._engine, self._image, self._chat, self._limits = engine, image, chat, limits
        self._description, self._make_prompt = description, make_prompt
        self._on_request, self._check_stop = on_request, check_stop
        self._started = time.monotonic()
        self._requests = self._tokens = self._wrong_in_row = 0
        self._phrases: dict[str, int] = {}
        self._truncated: dict[str, None] = {}
        self._candidates = Candidates(limits.candidates)
        self._newest: list[Instance] = []
        self._steps: list[Step] = []
        self._reached: dict[str, None] = {}
        # Texts of the conversation so far; pictures are sent with the newest message only.
        self._past: list[Message] = []
        self._whole = encode_picture(shrink(image, limits.picture_side_px))

    def run(self) -> AgentResult:
        words, pictures = "", list[Message]()
        try:
            while True:
                answer = self._ask(words, pictures)
                try:
                    action = parse_action(answer)
                    if isinstance(action, Select | NothingFits):
                        return self._end_by(action)
                    words, pictures, outcome = self._do(action)
                    self._wrong_in_row = 0
                    self._steps.append(Step(self._requests, _shorten(str(action)), outcome))
                except WrongAnswerError as error:
                    words, pictures = f"{error} {prompts.AGAIN}", self._show_candidates()
                    said = _shorten(answer.text or ", ".join(c.name for c in answer.tool_calls))
                    self._steps.append(
                        Step(self._requests, said or "(nothing)", f"refused: {error}")
                    )
                    self._wrong_in_row += 1
                    if self._wrong_in_row == self._limits.wrong_answers:
                        raise _LimitReachedError(
                            f"wrong_answers: {self._wrong_in_row} answers in a row were no "
                            "possible action"
                        ) from None
                self._remember(answer, words)
        except _LimitReachedError as limit:
            self._reached[str(limit)] = None
        return self._end("gave_up", self._newest)

    def _ask(self, words: str, pictures: Sequence[Message]) -> Answer:
        limits = self._limits
        left_s = limits.total_s - (time.monotonic() - self._started)
        if self._requests >= limits.requests:
            raise _LimitReachedError(f"requests: all {limits.requests} were made")
        if left_s <= 0:
            raise _LimitReachedError(f"total_s: {limits.total_s:g} s have passed")
        if self._requests == limits.requests - 1:
            words = f"{words}\n{prompts.LAST_REQUEST}".strip()
        self._check_stop()
        self._requests += 1
        vocabulary = getattr(self._engine, "vocabulary", ())
        task = prompts.make_task(self._description, vocabulary)
        messages: list[Message] = [
            {"role": "system", "content": prompts.SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": task}, self._whole]},
            # The last of the past is the message that the newest words and pictures belong to.
            *self._past[:-1],
        ]
        if self._past:
            newest = [{"type": "text", "text": words}, *pictures]
            messages.append({"role": "user", "content": newest})
        elif words:
            messages[1]["content"].append({"type": "text", "text": words})
        timeout_s = min(limits.request_s, left_s)
        try:
            answer = wait_for_answer(self._chat, messages, timeout_s, self._check_stop)
        except TimeoutError:
            name = "request_s" if timeout_s == limits.request_s else "total_s"
            self._steps.append(Step(self._requests, "(nothing)", "no answer in time"))
            raise _LimitReachedError(
                f"{name}: no answer within {getattr(limits, name):g} s"
            ) from None
        self._tokens += answer.tokens
        self._on_request(self._requests)
        return answer

    def _remember(self, answer: Answer, words: str) -> None:
        said = answer.text or " ".join(f"{c.name} {c.arguments}" for c in answer.tool_calls)
        self._past += [
            {"role": "assistant", "content": said[-MAX_KEPT_CHARS:] or "(nothing)"},
            {"role": "user", "content": words},
        ]

    def _do(self, action: Segment | Examine) -> tuple[str, list[Message], str]:
        """Returns what to tell the model, which pictures to show, and a line for the transcript."""
        if isinstance(action, Segment):
            words, outcome = self._segment(action.phrase)
            return words, self._show_candidates(), outcome
        numbers = action.numbers or tuple(range(1, len(self._candidates) + 1))
        chosen = self._get(numbers)[: self._limits.examined]
        numbers = numbers[: len(chosen)]
        side_px = self._limits.picture_side_px // 2
        near = [
            encode_picture(draw_near(self._image, candidate, number, side_px))
            for number, candidate in zip(numbers, chosen, strict=True)
        ]
        shown = ", ".join(map(str, numbers))
        return f"{prompts.NEAR}{shown}.\n{self._list()}", near, f"{shown} shown from near"

    def _segment(self, phrase: str) -> tuple[str, str]:
        limits = self._limits
        if phrase.lower() in map(str.lower, self._phrases):
            raise WrongAnswerError(f'"{phrase}" was tried already.')
        if len(self._phrases) == limits.phrases:
            self._reached[f"phrases: all {limits.phrases} were tried"] = None
            raise WrongAnswerError(prompts.NO_MORE_PHRASES)
        try:
            result = self._engine.segment(self._image, self._make_prompt(phrase))
        except ValueError as error:
            raise WrongAnswerError(
                f"The segmenter refused the phrase ({clean_text(str(error))[:200]})."
            ) from error
        self._check_stop()
        self._truncated.update(dict.fromkeys(result.truncated))
        found = [instance for instance in result.instances if instance.mask.area]
        self._phrases[phrase] = len(found)
        if not found:
            best = max(result.best_scores, default=0.0)
            words = prompts.describe_nothing(phrase, best, self._phrases)
            return f"{words}\n{self._list()}".strip(), "found nothing"
        new, left_out = self._candidates.add(phrase, found)
        self._newest = found
        if left_out:
            reached = f"candidates: {left_out} of {phrase!r} were not shown"
            self._reached[reached] = None
        words = prompts.describe_found(phrase, len(found), new, left_out)
        return f"{words}\n{self._list()}", f"found {len(found)}, {new} new"

    def _get(self, numbers: Sequence[int]) -> list[Instance]:
        try:
            return self._candidates.get(numbers)
        except ValueError as error:
            raise WrongAnswerError(str(error)) from error

    def _list(self) -> str:
        if not len(self._candidates):
            return ""
        return f"{prompts.CHOOSE}\n{self._candidates.to_text()}"

    def _show_candidates(self) -> list[Message]:
        if not len(self._candidates):
            return []
        side_px = self._limits.picture_side_px
        return [encode_picture(self._candidates.draw(self._image, side_px))]

    def _end_by(self, action: Select | NothingFits) -> AgentResult:
        chosen = self._get(action.numbers) if isinstance(action, Select) else []
        outcome = f"{len(chosen)} chosen" if chosen else "nothing fits"
        self._steps.append(Step(self._requests, _shorten(str(action)), outcome))
        return self._end("selected" if chosen else "none", chosen)

    def _end(
        self, status: Literal["selected", "none", "gave_up"], instances: Sequence[Instance]
    ) -> AgentResult:
        chosen = sorted(instances, key=lambda instance: -instance.score)
        result = Result(
            (self._image.shape[0], self._image.shape[1]),
            (self._description,),
            tuple(dataclasses.replace(instance, class_index=0) for instance in chosen),
            truncated=tuple(self._truncated),
        )
        return AgentResult(
            result,
            status,
            dict(self._phrases),
            self._requests,
            self._tokens,
            tuple(self._steps),
            tuple(self._reached),
        )


def _shorten(text: str) -> str:
    text = clean_text(text)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"
