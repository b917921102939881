"""Runs the training with the Trainer of ``transformers``: resume, best checkpoint, early stop."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from .features import FeatureFolder
from .optimizer import make_parameter_groups
from .prompts import StepDataSet, TrainingImage, collate
from .task import ConceptTask

COMPLETE = "complete"
"""File in a checkpoint that was written to its end."""

METRIC = "eval_cgf1"
IMAGE_ENCODER_RATE = 0.5
"""Factor on the learning rate of the image encoder, which other concepts need, too."""


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """Holds the settings of the loop.

    Attributes:
        folder: Where checkpoints are kept.
        steps: Steps in all.
        images_at_once: Images of a forward pass.
        passes: Forward passes of a step.
        learning_rate: Highest one.
        score_every: Steps between two scores, each with a checkpoint.
        patience: Scores without a better one after which it stops; 0 for never.
        seed: Of all random choices.
        use_bfloat16: Whether to train with autocast.
        on_cpu: Whether to train on the CPU.
        log: ``tensorboard`` or nothing.
    """

    folder: Path
    steps: int
    images_at_once: int
    passes: int
    learning_rate: float
    score_every: int
    patience: int
    seed: int
    use_bfloat16: bool
    on_cpu: bool
    log: str = ""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Tells where a training is.

    Attributes:
        step: Steps done.
        steps: Of how many.
        loss: The last one that was logged; None before.
        score: cgF1 of the last score; None before.
        seconds_left: Expected time to the end; None before the second step.
    """

    step: int
    steps: int
    loss: float | None = None
    score: float | None = None
    seconds_left: float | None = None


class ConceptTrainer(Trainer):
    """The Trainer with peft's own folders as checkpoints, and scores of an engine."""

    def __init__(self, *args: Any, score: Callable[[], dict[str, float]], **kwargs: Any) -> None:
        """Stores the function that scores the model."""
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
        self._score = score
        self.task: ConceptTask = kwargs["model"]

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Sampler[int]:
        # The data set draws by itself.
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Scores the model, in the first process; the others wait for its answer."""
        found: list[dict[str, float] | None] = [None]
        self.task.adapted.restore_base()
        if self.is_world_process_zero():
            self.task.train(False)
            found = [{f"eval_{name}": value for name, value in self._score().items()}]
            self.task.train()
        if self.args.world_size > 1:
            torch.distributed.broadcast_object_list(found)
        metrics = found[0]
        assert metrics is not None
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self.task.adapted.restore_base()
        if self.args.should_save:
            self.task.adapted.save(output_dir or str(self.args.output_dir))

    def _load_from_checkpoint(self, checkpoint: str, model: nn.Module | None = None) -> None:
        self.task.adapted.load(checkpoint)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        assert best is not None
        # By its name: the folder may have been moved since.
        self.task.adapted.load(str(Path(str(self.args.output_dir)) / Path(best).name))


class _Watcher(TrainerCallback):
    """Reports progress, marks complete checkpoints, and stops where it is asked to."""

    def __init__(
        self,
        task: ConceptTask,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._task, self._report, self._should_stop = task, report, should_stop
        self._progress = Progress(0, 0)
        self._begun: tuple[int, float] | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._task.adapted.restore_base()
        now = time.monotonic()
        left = None
        if self._begun is None:
            self._begun = state.global_step, now
        else:
            step, began = self._begun
            left = (
                (now - began) / (state.global_step - step) * (state.max_steps - state.global_step)
            )
        self._progress = dataclasses.replace(
            self._progress, step=state.global_step, steps=state.max_steps, seconds_left=left
        )
        self._report(self._progress)
        if self._should_stop():
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        loss, score = (logs or {}).get("loss"), (logs or {}).get(METRIC)
        if loss is not None:
            self._progress = dataclasses.replace(self._progress, loss=float(loss))
        if score is not None:
            self._progress = dataclasses.replace(self._progress, score=float(score))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def run_loop(
    task: ConceptTask,
    data: StepDataSet,
    features: FeatureFolder,
    options: LoopOptions,
    score: Callable[[], dict[str, float]],
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> list[dict[str, Any]]:
    """Trains, or goes on from the last complete checkpoint; leaves the best adapter in the model.

    Args:
        task: What is trained.
        data: What it is trained on.
        features: Where encoded images lie.
        options: Settings.
        score: Scores the model as it is: ``cgf1`` and others.
        report: Called after each step.
        should_stop: Asked after each step; True saves a checkpoint and ends the run.

    Returns:
        The log: a record of losses or scores by step.

    Raises:
        OSError: If a checkpoint cannot be written.
    """

    def read(image: TrainingImage) -> torch.Tensor:
        return image.pixels if image.pixels is not None else features.read(image.key)

    last = find_checkpoint(options.folder)
    arguments = TrainingArguments(
        output_dir=str(options.folder),
        max_steps=options.steps,
        per_device_train_batch_size=options.images_at_once,
        gradient_accumulation_steps=options.passes,
        learning_rate=options.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(20, options.steps // 5),
        max_grad_norm=0.1,
        save_strategy="steps",
        save_steps=options.score_every,
        eval_strategy="steps",
        eval_steps=options.score_every,
        load_best_model_at_end=True,
        metric_for_best_model=METRIC,
        greater_is_better=True,
        save_total_limit=3,
        logging_steps=min(10, options.score_every),
        seed=options.seed,
        data_seed=options.seed,
        remove_unused_columns=False,
        report_to=[options.log] if options.log else [],
        dataloader_num_workers=0,
        disable_tqdm=True,
        use_cpu=options.on_cpu,
        bf16=options.use_bfloat16,
        ddp_find_unused_parameters=True,
        label_names=[],
    )
    trainer = ConceptTrainer(
        model=task,
        args=arguments,
        train_dataset=data,
        eval_dataset=data,
        data_collator=functools.partial(collate, read=read),
        optimizers=(_make_optimizer(task, options.learning_rate), None),
        callbacks=[_Watcher(task, report, should_stop), *_stop_early(options.patience)],
        score=score,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    task.adapted.restore_base()
    task.train(False)
    return list(trainer.state.log_history)


def _make_optimizer(task: ConceptTask, learning_rate: float) -> torch.optim.Optimizer:
    rates = {"detector": 1.0, "image": IMAGE_ENCODER_RATE}

    def choose_part(name: str) -> str:
        return "image" if ".vision_backbone." in name else "detector"

    groups = make_parameter_groups(task, learning_rate, rates, choose_part)
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], weight_decay=1e-4, betas=(0.9, 0.98)
    )


def _stop_early(patience: int) -> list[TrainerCallback]:
    return [EarlyStoppingCallback(patience)] if patience else []


def find_checkpoint(folder: Path) -> Path | None:
    """Finds the last complete checkpoint; removes those that were cut off."""
    found: Mapping[int, Path] = {
        int(path.name.removeprefix("checkpoint-")): path
        for path in folder.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit()
    }
    complete = [number for number, path in found.items() if (path / COMPLETE).is_file()]
    last = max(complete, default=-1)
    for number, path in found.items():
        if number > last:
            shutil.rmtree(path)
    return found[last] if complete else None
