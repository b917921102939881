"""The command ``finetune``: from a corrected COCO file to an adapter that is better on it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    Device,
    Exit,
    InputSize,
    ModelName,
    PrecisionName,
    StoppedError,
    WeightFile,
    choose_model,
    print_result,
    run_command,
    tell,
)
from .progress import Progress

if TYPE_CHECKING:
    from ..training.observer import TrainingObserver

EXAMPLES = """
[bold]Examples[/bold]

infer-sam3 finetune corrected.json photos --out weeds

infer-sam3 finetune corrected.json photos --out weeds --rename "cls_3=bindweed" --val 0.3
"""

CONTINUES = "What is finished is kept: the same command continues from there."

DATA, TRAINING, MEMORY = "Data", "Training", "What stays known"


def _option(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


@run_command
def finetune(
    coco: Annotated[str, typer.Argument(help="A COCO file with what is to be learned.")],
    images: Annotated[str, typer.Argument(help="The folder of its images.")],
    out: Annotated[str, typer.Option(help="Folder for the adapter and its scores.")],
    val: Annotated[float, _option("Share of the images that are held out.", DATA)] = 0.2,
    val_coco: Annotated[str, _option("A COCO file with held-out images instead.", DATA)] = "",
    val_images: Annotated[str, _option("Folder of those, if it is another one.", DATA)] = "",
    rename: Annotated[
        str, _option('Phrases for categories: "cls_3=bindweed, junk=" (none: left out).', DATA)
    ] = "",
    not_exhaustive: Annotated[
        str, _option('Categories of which not all objects are labeled: "weed, stone".', DATA)
    ] = "",
    parts: Annotated[
        str, _option("What is trained: detector, fusion or detector+image.", TRAINING)
    ] = "detector",
    steps: Annotated[int, _option("Steps, of 4 images each.", TRAINING)] = 1000,
    learning_rate: Annotated[float, _option("Highest one; 0: the model's own.", TRAINING)] = 0,
    rank: Annotated[int, _option("Of the LoRA factors; 0: the model's own.", TRAINING)] = 0,
    prompts: Annotated[
        int, _option("Most prompts of a forward pass: bounds memory; 0: the model's own.", TRAINING)
    ] = 0,
    score_every: Annotated[int, _option("Steps between scores; 0: ten scores.", TRAINING)] = 0,
    patience: Annotated[
        int, _option("Stop after so many scores without a better one; 0: never.", TRAINING)
    ] = 0,
    seed: Annotated[int, _option("Of all random choices.", TRAINING)] = 0,
    mirror: Annotated[
        bool, _option("Train on mirrored images, too.", TRAINING, "--mirror/--no-mirror")
    ] = True,
    log: Annotated[str, _option("tensorboard: write its files, too.", TRAINING)] = "",
    features: Annotated[
        str, _option("Folder for encoded images, which jobs may share.", TRAINING)
    ] = "",
    negatives: Annotated[int, _option("Absent phrases for each image and step.", MEMORY)] = 1,
    anchors: Annotated[
        int, _option("Phrases that the model knows, for each image and step.", MEMORY)
    ] = 2,
    words: Annotated[
        str, _option("A text file with a phrase a line, to take both from.", MEMORY)
    ] = "",
    known_coco: Annotated[
        str, _option("A COCO file with known concepts, to score what is forgotten.", MEMORY)
    ] = "",
    known_images: Annotated[str, _option("Folder of its images.", MEMORY)] = "",
    model: ModelName = "sam3",
    weights: WeightFile = None,
    device: Device = None,
    precision: PrecisionName = "auto",
    input_size: InputSize = "auto",
) -> Exit:
    """Fine-tune on a COCO file: an adapter, and its scores before and after."""
    chosen = choose_model(model, weights, device, precision, input_size, "torch")
    from ..training.observer import StoppedByUserError
    from ..training.options import parse_rename
    from ..training.run import finetune as run

    with _watch() as observer:
        try:
            result = run(
                coco,
                images,
                out,
                model=chosen,
                observer=observer,
                rename=parse_rename(rename),
                not_exhaustive=[n.strip() for n in not_exhaustive.split(",") if n.strip()],
                val=val,
                val_coco=val_coco,
                val_images=val_images,
                parts=parts,
                steps=steps,
                learning_rate=learning_rate,
                rank=rank,
                prompts=prompts,
                score_every=score_every,
                patience=patience,
                seed=seed,
                mirror=mirror,
                log=log,
                features=features,
                negatives=negatives,
                anchors=anchors,
                words=words,
                known_coco=known_coco,
                known_images=known_images,
            )
        except (KeyboardInterrupt, StoppedByUserError):
            tell(f"Interrupted. {CONTINUES}")
            return Exit.INTERRUPTED
        except (OSError, MemoryError) as error:
            raise StoppedError(f"{error}\n{CONTINUES}") from error
    if int(os.environ.get("RANK", "0")) == 0:
        print_result((result.out / "scores.md").read_text().rstrip())
        tell(f"Written: {result.out}. Use it as: --weights '+ {result.adapter}'")
    return Exit.SOME_FAILED if result.unreadable else Exit.DONE


@contextlib.contextmanager
def _watch() -> Iterator[TrainingObserver]:
    """Makes what shows the progress; the first Ctrl-C ends the training after its step."""
    from ..training.observer import TrainingObserver

    class Observer(TrainingObserver):
        """Shows a bar for each stage, with loss, last score and time left."""

        def __init__(self) -> None:
            self._bar: Progress | None = None
            self._title = ""
            self.is_interrupted = self._is_training = False

        def tell(self, sentence: str) -> None:
            self.close()
            tell(sentence)

        def count(self, title: str, done: int, total: int) -> None:
            self._show(title, "image", total)
            assert self._bar is not None
            self._bar.update(done)

        def step(self, progress: Any) -> None:
            self._is_training = True
            self._show("Training", "step", progress.steps)
            assert self._bar is not None
            notes = [] if progress.loss is None else [f"loss {progress.loss:.2f}"]
            notes += [] if progress.score is None else [f"cgF1 {progress.score:.3f}"]
            if progress.seconds_left is not None:
                notes.append(f"{progress.seconds_left / 60:.0f} min left")
            self._bar.update(progress.step, note=", ".join(notes))

        def should_stop(self) -> bool:
            return self.is_interrupted

        def interrupt(self, *_: object) -> None:
            if self.is_interrupted or not self._is_training:
                raise KeyboardInterrupt
            self.is_interrupted = True
            tell("Stopping after this step; once more to stop at once.")

        def close(self) -> None:
            if self._bar is not None:
                self._bar.__exit__(None, None, None)
            self._bar, self._title = None, ""

        def _show(self, title: str, unit: str, total: int) -> None:
            if self._title != title:
                self.close()
                self._title, self._bar = title, Progress(title, unit, total).__enter__()

    observer = Observer()
    before = signal.signal(signal.SIGINT, observer.interrupt)
    try:
        yield observer
    finally:
        signal.signal(signal.SIGINT, before)
        observer.close()
