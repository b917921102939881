"""Runs the job on several GPUs or machines: Ray Data over the shards, one actor a GPU.

Ray's own checkpoints are not used: a shard that is written is done, whoever wrote it, and
resuming is the same as without Ray.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .labeler import ShardLabeler
from .manifest import Shard
from .options import JobOptions
from .output_folder import OutputFolder
from .shard_files import ShardReport, get_shard_name, read_report
from .sources import ImageSource

SHARDS_PER_CALL = 4
"""Shards that an actor gets at once: it decodes ahead from one to the next."""
OBJECT_STORE_BYTES = 200 * 1024**2
"""Names of files go through Ray's object store, never pixels."""


def label_with_ray(
    options: JobOptions,
    todo: tuple[Shard, ...],
    fingerprint: str,
    address: str | None = None,
    actors: int | None = None,
) -> Iterator[ShardReport]:
    """Labels shards with the actors of a Ray cluster.

    An actor that dies is started again by Ray and its call repeated; shards that it had
    written are passed over.

    Args:
        options: The job's options. Images and output folder must have the same addresses on
            every machine.
        todo: Shards to label.
        fingerprint: Of the settings.
        address: Of a cluster (``ray://host:10001``, ``auto``); None starts one here.
        actors: How many; one a GPU by default, or one where there are none.

    Yields:
        A report of each shard once it is written, in no order.

    Raises:
        ImportError: If Ray is not installed.
    """
    with _connect_ray(address) as (ray, gpus):
        use_gpu = gpus > 0 and (options.model.device or "cuda") != "cpu"
        size = actors or (max(1, int(gpus)) if use_gpu else 1)
        rows = [{"index": shard.index, "names": list(shard.names)} for shard in todo]
        per_call = max(1, min(SHARDS_PER_CALL, len(rows) // (4 * size)))
        data_set = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // per_call))
        reports = data_set.map_batches(
            _ShardActor,
            fn_constructor_args=(_make_paths_absolute(options), fingerprint),
            batch_size=per_call,
            compute=ray.data.ActorPoolStrategy(size=size),
            num_gpus=1 if use_gpu else 0,
            num_cpus=1,
        )
        for row in reports.iter_rows():
            yield ShardReport(**{name: int(value) for name, value in row.items()})


class _ShardActor:
    """Labels shards with one engine in a process of its own."""

    def __init__(self, options: JobOptions, fingerprint: str) -> None:
        self._out = OutputFolder(options.out)
        self._labeler = ShardLabeler(
            options.model.load(),
            ImageSource(options.images),
            options.prompts,
            self._out,
            fingerprint,
            options.input_size_percent,
            options.decoders,
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shards = [
            Shard(int(index), tuple(str(name) for name in names))
            for index, names in zip(batch["index"], batch["names"], strict=True)
        ]
        done = [shard.index for shard in shards if self._out.exists(get_shard_name(shard.index))]
        left = [shard for shard in shards if shard.index not in done]
        reports = [read_report(self._out, index) for index in done]
        reports += self._labeler.label(left)
        return {
            field.name: np.array([getattr(report, field.name) for report in reports], np.int64)
            for field in dataclasses.fields(ShardReport)
        }


@contextlib.contextmanager
def _connect_ray(address: str | None) -> Iterator[tuple[Any, float]]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        # A cluster of this process alone: Ray would ask for a token of its own.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            "ray: labeling on several machines needs Ray: pip install -r requirements-ray.txt"
        ) from error
    local: dict[str, Any] = {
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "README").write_text("Where the workers of a labeling job run.")
        # Without a folder of their own Ray puts the driver's on the workers' path, and in a
        # checkout a module there hides the package.
        runtime_env = {
            "working_dir": empty,
            "env_vars": {"PYTHONSAFEPATH": "1", **_collect_variables()},
        }
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env=runtime_env,
            **(local if address is None else {}),
        )
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray, float(ray.cluster_resources().get("GPU", 0))
    finally:
        ray.shutdown()


def _collect_variables() -> dict[str, str]:
    """Collects the variables that the workers need: where the package and the weights are."""
    package_parent = str(Path(__file__).parents[2])
    names = (
        *("OMP_NUM_THREADS", "SAM3_CHECKPOINT", "MODELSCOPE_CACHE"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"),
    )
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {"PYTHONPATH": package_parent, **kept}


def _make_paths_absolute(options: JobOptions) -> JobOptions:
    """Makes the paths of options absolute, for processes in other folders."""
    from ..engine.checkpoints.zoo import find_weight_files

    model = options.model
    if model.weight_file:
        files = find_weight_files(model.model_name, model.weight_file)
        model = dataclasses.replace(model, weight_file=str(files.resolve()))
    return dataclasses.replace(
        options,
        images=ImageSource(options.images).full_address,
        out=OutputFolder(options.out).full_address,
        model=model,
    )
