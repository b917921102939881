"""Labels shards with one engine; other threads decode before it and write after it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import ConceptPrompt, Result
from ..engine.export.rle import mask_to_rle
from ..engine.images import count_pictures, decode_image
from .manifest import Shard
from .options import Segmenter, StopJobError
from .output_folder import OutputFolder
from .prompt_sources import CategorizedPrompt, PromptSource
from .shard_files import LabeledImage, LabeledInstance, ShardReport, write_shard
from .sources import ImageSource

MAX_PENDING_SHARDS = 2
"""Shards that may wait for the disk before labeling waits for it, too."""

MAX_PENDING_IMAGES = 8
"""Segmented images that may wait to be encoded before segmenting waits: each holds its masks."""

ImageCallback = Callable[[LabeledImage], None]
PromptResult = tuple[CategorizedPrompt, Result]


@dataclasses.dataclass(frozen=True)
class DecodedFile:
    """Holds a file that was read: its pixels, or the error."""

    name: str
    size_bytes: int = 0
    sha256: str = ""
    pixels: npt.NDArray[np.uint8] | None = None
    error: str | None = None
    pictures: int = 1


class ShardLabeler:
    """Labels shards one after the other and writes each in one step.

    The engine runs in the caller's thread. An image that cannot be read, decoded or
    segmented becomes a row with its error.
    """

    def __init__(
        self,
        engine: Segmenter,
        source: ImageSource,
        prompts: PromptSource,
        out: OutputFolder,
        fingerprint: str,
        input_size_percent: float = 100,
        decoders: int = 2,
        on_image: ImageCallback = lambda image: None,
    ) -> None:
        """Prepares a labeler; starts no thread.

        Args:
            engine: What segments.
            source: Where the images are.
            prompts: The prompts of each image.
            out: Where the shards go.
            fingerprint: Of the settings, kept with each row.
            input_size_percent: Shrinks images before the model's own resize, 1..100.
            decoders: Threads that read and decode; two images more are held decoded.
            on_image: Called after each image, from another thread.
        """
        self._engine = engine
        self._source = source
        self._prompts = prompts
        self._out = out
        self._fingerprint = fingerprint
        self._input_size_percent = input_size_percent
        self._decoders = decoders
        self._on_image = on_image
        self._origin = _describe_engine(engine)

    def label(self, shards: Iterable[Shard]) -> Iterator[ShardReport]:
        """Labels shards.

        Args:
            shards: In order; taken as they are needed.

        Yields:
            A report of each shard once it is written.

        Raises:
            OSError: If a shard cannot be written. Those before it are complete.
            StopJobError: If the segmenter ends the job.
        """
        with (
            ThreadPoolExecutor(self._decoders, "decode") as decoding,
            ThreadPoolExecutor(1, "write") as writing,
        ):
            written: deque[Future[ShardReport]] = deque()
            decoded = self._decode_ahead(decoding, shards)
            try:
                for shard, files in decoded:
                    rows: list[Future[LabeledImage]] = []
                    for file in files:
                        rows.append(writing.submit(self._encode, *self._segment(file)))
                        wait(rows[-1 - MAX_PENDING_IMAGES : -MAX_PENDING_IMAGES])
                    written.append(writing.submit(self._write, shard, rows))
                    while written and (written[0].done() or len(written) > MAX_PENDING_SHARDS):
                        yield written.popleft().result()
                while written:
                    yield written.popleft().result()
            finally:
                # Cancels the decoding of files that are not needed any more.
                decoded.close()

    def _decode_ahead(
        self, decoding: ThreadPoolExecutor, shards: Iterable[Shard]
    ) -> Generator[tuple[Shard, Iterator[DecodedFile]], None, None]:
        """Yields each shard with an iterator of its decoded files."""
        ahead: deque[Future[DecodedFile]] = deque()
        to_decode, to_label = itertools.tee(shards)
        names = (name for shard in to_decode for name in shard.names)

        def fill() -> None:
            for name in itertools.islice(names, self._decoders + 2 - len(ahead)):
                ahead.append(decoding.submit(self._decode, name))

        def take(shard: Shard) -> Iterator[DecodedFile]:
            for _ in shard.names:
                fill()
                yield ahead.popleft().result()

        try:
            for shard in to_label:
                yield shard, take(shard)
        finally:
            for future in ahead:
                future.cancel()

    def _decode(self, name: str) -> DecodedFile:
        printable = os.fsencode(name).decode("utf-8", "backslashreplace")
        if printable != name:
            return DecodedFile(printable, error="file: its name is not UTF-8")
        try:
            content = self._source.read_bytes(name)
        except (OSError, ValueError) as error:
            return DecodedFile(name, error=f"file: cannot be read: {_describe_error(error)}")
        size, sha256 = len(content), hashlib.sha256(content).hexdigest()
        if not size:
            return DecodedFile(name, size, sha256, error="file: is empty")
        try:
            pixels = decode_image(io.BytesIO(content))
        except Exception as error:  # any defect of a decoder is this one file's error
            return DecodedFile(name, size, sha256, error=_describe_error(error))
        pictures = count_pictures(io.BytesIO(content), name)
        return DecodedFile(name, size, sha256, pixels, pictures=pictures)

    def _segment(self, file: DecodedFile) -> tuple[DecodedFile, list[PromptResult]]:
        if file.pixels is None:
            return file, []
        try:
            results = [
                (
                    categorized,
                    self._engine.segment(
                        file.pixels, categorized.prompt, input_size_percent=self._input_size_percent
                    ),
                )
                for categorized in self._prompts.make_prompts(file.name)
            ]
        except StopJobError:
            raise
        except Exception as error:
            return dataclasses.replace(file, pixels=None, error=_describe_error(error)), []
        return file, results

    def _encode(self, file: DecodedFile, results: list[PromptResult]) -> LabeledImage:
        row = LabeledImage(file.name, file.size_bytes, file.sha256, error=file.error)
        if file.pixels is not None:
            instances: list[LabeledInstance] = []
            for categorized, result in results:
                instances += _encode_instances(categorized, result)
            row = dataclasses.replace(
                row,
                hw=(file.pixels.shape[0], file.pixels.shape[1]),
                pictures=file.pictures,
                instances=tuple(instances),
                truncated=tuple(name for _, result in results for name in result.truncated),
            )
        self._on_image(row)
        return row

    def _write(self, shard: Shard, rows: list[Future[LabeledImage]]) -> ShardReport:
        images = [row.result() for row in rows]
        return write_shard(self._out, shard.index, images, self._fingerprint, self._origin)


def _encode_instances(categorized: CategorizedPrompt, result: Result) -> Iterator[LabeledInstance]:
    with_masks = not isinstance(categorized.prompt, ConceptPrompt) or categorized.prompt.masks
    for instance in result.instances:
        yield LabeledInstance(
            category_id=categorized.category_ids[result.class_names[instance.class_index]],
            score=float(instance.score),
            box_xyxy=instance.box_xyxy,
            area_px=instance.mask.area,
            rle_counts=mask_to_rle(instance.mask)["counts"] if with_masks else None,
        )


def _describe_error(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def _describe_engine(engine: Any) -> dict[str, str]:
    """Describes where a shard was made: device and precision."""
    named = {name: str(getattr(engine, name, "")) for name in ("device", "precision")}
    return {name: value for name, value in named.items() if value}
