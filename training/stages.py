"""Runs the stages of a fine-tuning; what an earlier call finished is not done again."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import torch

from ..engine import Engine
from ..engine.checkpoints.loader import load_model
from ..engine.checkpoints.zoo import find_weight_files, get_model_spec, resolve_input_size
from ..engine.model.precision import resolve_precision
from ..engine.runtime.openmp import fix_thread_teams
from ..engine.validation import value_error
from ..labeling.output_folder import OutputFolder
from ..labeling.scoring.ground_truth import GroundTruth
from .anchors import AnchorFinder, read_words
from .data import TrainingData, dump, write_coco
from .features import FeatureFolder
from .loop import LoopOptions, run_loop
from .observer import StoppedByUserError, TrainingObserver
from .options import IMAGES_A_STEP, LORA_SCALE, TrainingOptions
from .parts import AdaptedModel, trains_image_encoder
from .prepare import Preparation, prepare_images
from .prompts import PromptCounts, StepDataSet, TrainingImage
from .scoring import ScoreSets, ask_words, get_cgf1, score_model, score_new
from .task import ConceptTask

HELD_OUT, KNOWN, BEFORE = "held_out.json", "known.json", "before.json"
CHECKPOINTS, FEATURES, ADAPTER = "checkpoints", "features", "adapter"
OWN_PROMPTS = 2


class Stages:
    """Holds the base model and the data from one stage to the next."""

    def __init__(
        self,
        options: TrainingOptions,
        out: OutputFolder,
        observer: TrainingObserver,
        data: TrainingData,
    ) -> None:
        """Loads the model for training; the engine that others may hold stays as it is."""
        self._options, self._out, self._observer, self._data = options, out, observer, data
        self._root = out.get_local_path()
        name, size = options.model.model_name, options.model.input_size
        self._files = find_weight_files(name, options.model.weight_file)
        if self._files.adapter is not None:
            expected = "a checkpoint alone (merge the adapter first: infer-sam3 weights convert)"
            raise value_error("weights", expected, options.model.weight_file)
        self._device = _choose_device(options.model.device)
        self._side = resolve_input_size(name, size)
        self._model = load_model(name, self._files, self._device, size)
        self._architecture = dataclasses.replace(
            get_model_spec(name).architecture, image_size=self._side
        )
        self._words = read_words(name, options.words or None)
        self._precision: Literal["float32", "bfloat16"] = resolve_precision(
            options.model.precision,  # type: ignore[arg-type]
            self._device,
        )
        if self._device.type == "cpu" and options.model.precision == "auto":
            # Gradients of bfloat16 sums are too coarse to be a default where float32 is no worse.
            self._precision = "float32"
        self._is_first = int(os.environ.get("RANK", "0")) == 0

    def score_before(self) -> dict[str, Any]:
        """Scores the base model, and writes what it is scored on."""
        if not self._is_first:
            return {}
        phrases = self._data.concepts.phrases
        truth = write_coco(self._data.held_out.images, phrases, self._data.held_out_root)
        self._out.write_bytes(HELD_OUT, dump(truth))
        engine = self._make_engine()
        new = GroundTruth(str(self._root / HELD_OUT), str(self._data.held_out_root))
        if not self._options.known_coco and not self._out.exists(KNOWN):
            self._observer.tell("Asking the base model what it knows on the held-out images.")
            own = {phrase.casefold() for phrase in phrases.values()}
            words = [word for word in self._words if word.casefold() not in own]
            self._out.write_bytes(KNOWN, dump(ask_words(engine, new, words)))
        if not self._out.exists(BEFORE):
            scores = self._score(engine, "Scoring before")
            self._out.write_bytes(BEFORE, dump(scores))
        found: dict[str, Any] = json.loads(self._out.read_bytes(BEFORE))
        return found

    def train(self) -> list[dict[str, Any]]:
        """Trains, and writes the best adapter; returns the log."""
        from accelerate import PartialState

        options = self._options
        recipe = options.recipe
        on_cpu = self._device.type == "cpu"
        features = FeatureFolder(Path(options.features or self._root / FEATURES))
        # The first process encodes, the others read what it wrote.
        with PartialState(cpu=on_cpu).main_process_first(), torch.no_grad():
            images = self._prepare(features)
        torch.manual_seed(options.seed)
        adapted = AdaptedModel(self._model, options.parts, recipe.rank, recipe.rank * LORA_SCALE)
        task = ConceptTask(adapted, self._architecture.queries)
        counts = PromptCounts(OWN_PROMPTS, options.anchors, options.negatives)
        fitting = max(1, recipe.prompts // counts.total)
        at_once = max(n for n in (1, 2, IMAGES_A_STEP) if n <= fitting)
        passes = IMAGES_A_STEP // at_once
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        length = options.steps * at_once * passes * processes
        stopped = False

        def should_stop() -> bool:
            nonlocal stopped
            stopped = stopped or self._observer.should_stop()
            return stopped

        def score() -> dict[str, float]:
            truth = GroundTruth(str(self._root / HELD_OUT), str(self._data.held_out_root))
            found = score_new(self._make_engine(), truth)
            return {"cgf1": get_cgf1(found), "ap50": found["box_AP50"] or 0.0}

        loop = LoopOptions(
            self._root / CHECKPOINTS,
            options.steps,
            at_once,
            passes,
            recipe.learning_rate,
            options.interval,
            options.patience,
            options.seed,
            self._precision == "bfloat16",
            on_cpu,
            options.log,
        )
        self._observer.tell(
            f"Training {adapted.count_trained():,} parameters ({options.parts}) for "
            f"{options.steps} steps of {at_once * passes * processes} images."
        )
        data = StepDataSet(images, counts, length, options.seed)
        with fix_thread_teams(self._architecture.most_threads):
            log = run_loop(task, data, features, loop, score, self._observer.step, should_stop)
        if stopped:
            raise StoppedByUserError("Stopped; the same command goes on from here.")
        if self._is_first:
            _save_adapter(adapted, self._root)
        return log

    def score_after(self) -> dict[str, Any]:
        """Scores the adapter as it loads from its folder."""
        if not self._is_first:
            return {}
        # As a user loads it: base and adapter, merged.
        options = self._options.model
        files = dataclasses.replace(self._files, adapter=self._root / ADAPTER)
        self._model = load_model(options.model_name, files, self._device, options.input_size)
        return self._score(self._make_engine(), "Scoring after")

    def _prepare(self, features: FeatureFolder) -> list[TrainingImage]:
        options = self._options
        weights = f"{options.model.describe()['weights']} {self._side}"
        wants_words = options.anchors or options.negatives
        anchors = AnchorFinder(self._model, features, self._words, weights)
        how = Preparation(
            self._model,
            self._architecture,
            features,
            weights,
            self._device,
            anchors if wants_words else None,
            trains_image_encoder(options.parts),
            options.mirror,
        )
        with fix_thread_teams(self._architecture.most_threads):
            return prepare_images(
                self._data.train.images,
                self._data.concepts,
                how,
                lambda done, total: self._observer.count("Encoding", done, total),
            )

    def _make_engine(self) -> Engine:
        self._model.training = False
        most_threads = self._architecture.most_threads
        return Engine(self._model, self._side, self._precision, most_threads=most_threads)

    def _score(self, engine: Engine, title: str) -> dict[str, Any]:
        options = self._options
        new = GroundTruth(str(self._root / HELD_OUT), str(self._data.held_out_root))
        if options.known_coco:
            known = GroundTruth(options.known_coco, options.known_images)
        else:
            known = GroundTruth(str(self._root / KNOWN), str(self._data.held_out_root))
        sets = ScoreSets(
            new, self._data.concepts.not_exhaustive, known if known.coco.anns else None
        )
        total = len(new.images) + (len(known.images) if sets.known else 0)
        done = 0

        def on_image() -> None:
            nonlocal done
            done += 1
            self._observer.count(title, done, total)

        return score_model(engine, sets, on_image)


def _choose_device(given: str | None) -> torch.device:
    if given is not None and given != "cuda":
        return torch.device(given)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _save_adapter(adapted: AdaptedModel, root: Path) -> None:
    """Writes the adapter; it appears in full or not at all."""
    temporary, final = root / f"{ADAPTER}.tmp", root / ADAPTER
    shutil.rmtree(temporary, ignore_errors=True)
    adapted.save(str(temporary))
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
