"""The training task: Ikomia's data set in, an adapter for the segmentation plugin out."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ikomia import core, dataprocess
from ikomia.dataprocess.io import DataDictIO
from ikomia.dnn import dnntrain

from ..adapter.parameters.parameter_table import to_text
from ..engine.model_options import ModelOptions
from ..training.observer import StoppedByUserError, TrainingObserver
from ..training.run import FinetuneResult, finetune
from ..version import VERSION
from .dataset import to_coco
from .parameters import NAME, PARAMETERS, TrainParam

if TYPE_CHECKING:
    from ..training.loop import Progress

DATA_SET_FILE = "dataset.json"

# Ikomia shows the INFO lines of its own loggers.
logger = logging.getLogger(f"ikomia.{NAME}")


class TrainSegmentAnything3(dnntrain.TrainProcess):
    """Fine-tunes SAM 3 on the data set at its input.

    The base class starts MLflow's server, which listens on every interface, and TensorBoard.

    Args:
        name: The task's name.
        param: Its parameters; None for defaults.
    """

    def __init__(self, name: str, param: TrainParam | None = None) -> None:
        own = TrainParam()
        if param is not None:
            own.set_values(param.get_values())
        dnntrain.TrainProcess.__init__(self, name, own)
        self.set_param_object(own)
        self.add_output(DataDictIO())
        self._is_stopped = threading.Event()
        self._result: FinetuneResult | None = None

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Changes parameters; changes none of them if one is invalid.

        Args:
            values: By name: strings, or numbers, bools and paths.

        Raises:
            ValueError: If a name is unknown or a value is invalid by itself.
        """
        changes = {name: to_text(value) for name, value in values.items()}
        changed = PARAMETERS.merge_values(self.get_param_object().get_values(), changes)
        dnntrain.TrainProcess.set_parameters(self, changed)

    def get_weight_file(self) -> str:
        """Returns the value for ``model_weight_file`` of the segmentation plugin.

        Returns:
            The base and the adapter of the last run; empty before.
        """
        if self._result is None:
            return ""
        base = self.get_param_object().cfg["model_weight_file"]
        return f"{base} + {self._result.adapter}".strip()

    def get_progress_steps(self) -> int:
        """Returns the steps of a run."""
        return int(PARAMETERS.parse_values(self.get_param_object().get_values())["steps"])

    def run(self) -> None:
        """Trains; the same run goes on after a stop or a crash.

        Raises:
            ValueError: If the data set or a parameter is wrong.
            ImportError: If a package of requirements.txt is not installed.
            RuntimeError: If the weights cannot be found, downloaded or loaded.
        """
        self._is_stopped.clear()
        self._result = None
        self.begin_task_run()
        try:
            self._train(PARAMETERS.parse_values(self.get_param_object().get_values()))
        except StoppedByUserError:
            logger.warning("Stopped. What is finished is kept: the same run continues from there.")
        finally:
            self.end_task_run()

    def stop(self) -> None:
        """Ends the training after its current step; the same run continues later."""
        self._is_stopped.set()
        dnntrain.TrainProcess.stop(self)

    def _train(self, values: dict[str, Any]) -> None:
        coco, images = to_coco(getattr(self.get_input(0), "data", None))
        text = json.dumps(coco, default=_to_number)
        folder = values["output_folder"]
        out = Path(folder).expanduser() if folder else _make_folder_name(text, values)
        out.mkdir(parents=True, exist_ok=True)
        (out / DATA_SET_FILE).write_text(text, "utf-8")
        result = finetune(
            out / DATA_SET_FILE,
            images,
            out,
            model=ModelOptions(
                values["model_name"],
                values["model_weight_file"] or None,
                None if values["cuda"] else "cpu",
                input_size=values["input_size"],
            ),
            observer=_Observer(self, self._is_stopped),
            rename=values["rename"],
            not_exhaustive=values["not_exhaustive"],
            val=values["validation_share"],
            **{name: values[name] for name in _SAME_NAME},
        )
        self._result = result
        self.log_metrics(dict(_list_metrics(result.scores)), values["steps"])
        self.get_output(0).data = {
            "adapter": str(result.adapter),
            "model_weight_file": self.get_weight_file(),
            "scores": result.scores,
            "unreadable": dict(result.unreadable),
        }
        logger.info("Written: %s. model_weight_file: %s", result.out, self.get_weight_file())


_SAME_NAME = (
    "steps", "parts", "learning_rate", "patience", "mirror", "seed", "negatives", "anchors"
)  # fmt: skip
"""Parameters that are options of the same name."""


class _Observer(TrainingObserver):
    """Shows a training in Ikomia, and its numbers in MLflow."""

    def __init__(self, task: TrainSegmentAnything3, is_stopped: threading.Event) -> None:
        self._task = task
        self._is_stopped = is_stopped
        self._seen: tuple[float | None, float | None] = None, None

    def tell(self, sentence: str) -> None:
        """Logs a sentence."""
        logger.info("%s", sentence)

    def step(self, progress: Progress) -> None:
        """Moves the progress bar, and logs the loss and the score where they changed."""
        self._task.emit_step_progress()
        now = progress.loss, progress.score
        named = zip(("loss", "held_out/cgF1"), now, self._seen, strict=True)
        changed = {n: value for n, value, old in named if value is not None and value != old}
        self._seen = now
        if changed:
            self._task.log_metrics(changed, progress.step)

    def should_stop(self) -> bool:
        """Tells whether the user pressed stop."""
        return self._is_stopped.is_set()


def _make_folder_name(coco: str, values: Mapping[str, Any]) -> Path:
    """Makes the name of a folder, which the same data and parameters find again."""
    digest = hashlib.sha256(f"{coco}{sorted(map(str, values.items()))}".encode()).hexdigest()
    return Path.home() / "Ikomia" / NAME / digest[:12]


def _to_number(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's
        return value.tolist()
    raise TypeError(f"dataset: {type(value).__name__} cannot be written as JSON")


def _list_metrics(scores: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Yields the numbers of nested scores by names such as ``after/new/mask_AP50``."""
    for name, value in scores.items():
        place = f"{path}/{name}".lstrip("/")
        if isinstance(value, Mapping):
            yield from _list_metrics(value, place)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield place, float(value)


class TrainParamFactory(dataprocess.CTaskParamFactory):
    """Creates parameters without a task."""

    def __init__(self) -> None:
        dataprocess.CTaskParamFactory.__init__(self)
        self.name = NAME

    def create(self) -> TrainParam:
        """Creates parameters with their default values."""
        return TrainParam()


class TrainFactory(dataprocess.CTaskFactory):
    """Creates the task and describes it to the HUB."""

    def __init__(self) -> None:
        dataprocess.CTaskFactory.__init__(self)
        info = self.info
        info.name = NAME
        info.short_description = (
            "Fine-tune SAM 3 on your own concepts: a small adapter that forgets nothing"
        )
        info.authors = (
            "Nicolas Carion, Laura Gustafson, Yuan-Ting Hu, Shoubhik Debnath, Ronghang Hu, et al."
        )
        info.path = "Plugins/Python/Segmentation"
        info.icon_path = "icons/icon.png"
        info.version = VERSION
        info.min_ikomia_version = "0.16.1"
        info.min_python_version = "3.11.0"
        info.keywords = "SAM, SAM 3, segment anything, fine-tuning, LoRA, training, COCO"
        info.algo_type = core.AlgoType.TRAIN
        info.algo_tasks = "INSTANCE_SEGMENTATION"
        info.repository = "https://github.com/Ikomia-hub/infer_segment_anything_3"
        info.original_repository = "https://github.com/facebookresearch/sam3"
        info.documentation_link = "https://github.com/facebookresearch/sam3"
        info.article = "SAM 3: Segment Anything with Concepts"
        info.article_url = "https://arxiv.org/abs/2511.16719"
        info.journal = "arXiv:2511.16719"
        info.year = 2025
        info.license = "Apache-2.0 (plugin), SAM License (sam3 package and weights)"
        info.hardware_config.min_cpu = 4
        info.hardware_config.min_ram = 16
        info.hardware_config.gpu_required = False
        info.hardware_config.min_vram = 12

    def create(self, param: TrainParam | None = None) -> TrainSegmentAnything3:
        """Creates a task; needs neither weights nor a GPU."""
        return TrainSegmentAnything3(self.info.name, param)
