"""Runs the plugin's task: reads Ikomia's inputs, runs the engine, fills Ikomia's outputs.

Ikomia imports this module for every user who has the plugin, so nothing here imports
PyTorch or ``sam3`` before the first run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from ikomia import core, dataprocess

from .adapter.inputs.graphics import read_drawing
from .adapter.inputs.image import read_image
from .adapter.inputs.video import read_video_position
from .adapter.outputs.ikomia import (
    CLASS_MAP,
    DATA,
    IMAGE,
    add_outputs,
    clear_outputs,
    draw_boxes,
    fill_outputs,
)
from .adapter.outputs.notes import update_notes
from .adapter.outputs.overlay import draw_overlay
from .adapter.outputs.tracks import TrackFiles
from .adapter.parameters.parameter_table import to_text
from .adapter.parameters.settings import Settings, merge_values
from .adapter.parameters.task_param import InferSegmentAnything3Param
from .adapter.progress import Progress, count_steps
from .adapter.requirements import explain_missing_package
from .adapter.session import RunOutput, Session
from .adapter.video_report import VideoReport
from .engine.images import RgbImage
from .engine.runtime.isolation import ask_float_limits
from .version import VERSION

NAME = "infer_segment_anything_3"

logger = logging.getLogger("infer_segment_anything_3")

# Before a script that has the plugin imports matplotlib.
ask_float_limits()


class InferSegmentAnything3ParamFactory(dataprocess.CTaskParamFactory):
    """Creates parameters without a task."""

    def __init__(self) -> None:
        dataprocess.CTaskParamFactory.__init__(self)
        self.name = NAME

    def create(self) -> InferSegmentAnything3Param:
        """Creates parameters with their default values."""
        return InferSegmentAnything3Param()


class InferSegmentAnything3(dataprocess.C2dImageTask):
    """Segments an image by text, exemplars, points and boxes.

    Based on Ikomia's plain image task: its semantic segmentation task renders an overlay that
    blackens the background, which takes as long as all outputs together.

    Args:
        name: The task's name.
        param: Its parameters; None for defaults.
    """

    def __init__(self, name: str, param: InferSegmentAnything3Param | None = None) -> None:
        dataprocess.C2dImageTask.__init__(self, name)
        add_outputs(self)
        own = InferSegmentAnything3Param()
        if param is not None:
            own.set_values(param.get_values())
        self.set_param_object(own)
        self._session = Session()
        # All runs of a task fill the same outputs, so only one runs at a time.
        self._run_lock = threading.RLock()
        self._is_running = False
        self._last_run: RunOutput | None = None
        self._track_files = TrackFiles()
        self._video_report = VideoReport()

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Changes parameters; changes none of them if one is invalid.

        Args:
            values: By name: strings, or numbers, bools, paths, lists and NumPy arrays.

        Raises:
            ValueError: If a name is unknown or a value is invalid by itself.
        """
        changes = {name: to_text(value) for name, value in values.items()}
        changed = merge_values(self.get_param_object().get_values(), changes)
        dataprocess.C2dImageTask.set_parameters(self, changed)

    def get_progress_steps(self) -> int:
        """Counts the steps of a run; the host is told if they turn out to be more or fewer."""
        return count_steps(self._parse_settings())

    def init_long_process(self) -> None:
        """Loads the model, so that the first run is as fast as the next."""
        # Ikomia also calls this from within the first run, which loads the model itself if
        # its prompt needs one.
        if not self._is_running:
            try:
                self._session.models.get(self._parse_settings())
            except ModuleNotFoundError as error:
                raise explain_missing_package(error) from None
        dataprocess.C2dImageTask.init_long_process(self)

    def start_over(self) -> None:
        """Forgets the objects that are followed: the next frame is the first of a video."""
        with self._run_lock:
            self._session.tracking.start_over()
            self._track_files.finish()

    def save_tracks(self) -> str:
        """Writes the tracks of the video so far as one JSON in YouTube-VIS's terms.

        The last frame of a video and :meth:`stop` do so by themselves.

        Returns:
            Its path; empty where auto-save is off or nothing was followed.
        """
        with self._run_lock:
            return str(self._track_files.finish() or "")

    def stop(self) -> None:
        """Ends the current run before its next step, with empty outputs.

        Ends the whole video where the workflow is stopped.
        """
        self._session.stop()
        dataprocess.C2dImageTask.stop(self)
        # Between two frames of a video no run is under way that would do it at its end.
        if self._run_lock.acquire(blocking=False):
            try:
                self._track_files.finish()
                self._video_report.finish(self._track_files.paths)
            finally:
                self._run_lock.release()

    def run(self) -> None:
        """Segments the input image.

        Raises:
            ValueError: If the image or the prompt is invalid.
            RuntimeError: If the weights cannot be found, downloaded or loaded, or a package of
                requirements.txt is not installed.
        """
        with self._run_lock:
            self._session.allow_start()
            self._last_run = None
            self._is_running = True
            try:
                self.begin_task_run()
                clear_outputs(self)
                self._fill_outputs()
                self.end_task_run()
            except BaseException as error:
                if isinstance(self.get_input(0), dataprocess.CVideoIO):
                    # With auto-save, Ikomia replaces the error of a first frame by its own.
                    logger.error("%s", error)
                self._last_run = None
                clear_outputs(self)
                self._track_files.finish()
                self._video_report.drop()
                if isinstance(error, ModuleNotFoundError):
                    # Ikomia shows the whole traceback of the error that it gets.
                    raise explain_missing_package(error) from None
                raise
            finally:
                self._is_running = False
        # Not under the lock: a stop that comes later gets the lock and writes them itself.
        if self._session.is_stopped:
            with self._run_lock:
                self._track_files.finish()
                self._video_report.finish(self._track_files.paths)

    def get_image_with_mask(self) -> RgbImage | None:
        """Draws the instances of the last run over its image.

        Returns:
            (H, W, 3) uint8, RGB. Without a finished run, the image of output 0, or None.
        """
        if self._last_run is not None:
            return draw_overlay(self._last_run)
        image: RgbImage | None = self.get_output(IMAGE).get_image()
        return image

    def get_image_with_graphics(self) -> RgbImage | None:
        """Draws the boxes and class names of the last run over its image.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        return draw_boxes(self, self.get_output(IMAGE).get_image())

    def get_image_with_mask_and_graphics(self) -> RgbImage | None:
        """Draws the instances of the last run, their boxes and class names over its image.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        return draw_boxes(self, self.get_image_with_mask())

    def get_names(self) -> list[str]:
        """Returns the class names; the index of each is its value in the class map."""
        names: list[str] = self.get_output(CLASS_MAP).get_class_names()
        return names

    def get_results(self) -> Any:
        """Returns the class map (output 1), as Ikomia's segmentation tasks do."""
        return self.get_output(CLASS_MAP)

    def _parse_settings(self) -> Settings:
        return Settings.parse(self.get_param_object().get_values())

    def _fill_outputs(self) -> None:
        progress = Progress(
            self.get_progress_steps(), self.emit_step_progress, self.emit_add_sub_progress_steps
        )
        source = self.get_input(0)
        position = read_video_position(source)
        param = self.get_param_object()
        if getattr(param, "start_over_requested", False):
            param.start_over_requested = False
            self.start_over()
        drawing = read_drawing(self.get_input(1))
        run = self._session.run(
            self._parse_settings(),
            read_image(source),
            drawing,
            progress,
            source.source_file_path,
            position,
        )
        is_saved = self.get_output(DATA).auto_save
        fill_outputs(self, run)
        if is_saved:
            self._track_files.write(run, self.output_folder)
        self._video_report.show(run, self._track_files.paths if is_saved else None)
        self._last_run = run
        progress.finish()
        if update_notes(param, run):
            self.emit_parameters_changed()


class InferSegmentAnything3Factory(dataprocess.CTaskFactory):
    """Creates the task and describes it to the HUB."""

    def __init__(self) -> None:
        dataprocess.CTaskFactory.__init__(self)
        info = self.info
        info.name = NAME
        info.short_description = (
            "SAM 3: segment everything that a text or an example names, or the one object "
            "that points and boxes mark"
        )
        info.authors = (
            "Nicolas Carion, Laura Gustafson, Yuan-Ting Hu, Shoubhik Debnath, Ronghang Hu, et al."
        )
        info.path = "Plugins/Python/Segmentation"
        info.icon_path = "icons/icon.png"
        info.version = VERSION
        info.min_ikomia_version = "0.16.1"
        info.min_python_version = "3.11.0"
        info.keywords = (
            "SAM, SAM 3, segment anything, open vocabulary, zero-shot, interactive, text prompt, "
            "instance segmentation, semantic segmentation, Meta"
        )
        info.algo_type = core.AlgoType.INFER
        info.algo_tasks = "INSTANCE_SEGMENTATION,SEMANTIC_SEGMENTATION"
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
        info.hardware_config.min_vram = 6

    def create(self, param: InferSegmentAnything3Param | None = None) -> InferSegmentAnything3:
        """Creates a task; needs neither weights nor a GPU."""
        return InferSegmentAnything3(self.info.name, param)
