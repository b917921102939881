"""Simulates the labeling job on many GPUs with a discrete-event model.

    python -m infer_segment_anything_3.tools.cluster_model --gpu-ms 60

Each GPU has an actor with threads that read and decode, the engine, and a thread that encodes
and writes, as :mod:`labeling.labeler` has them; all share the storage and Ray's driver.
``docs/labeling.md`` says which of its numbers are measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Generator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Times:
    """Holds the times of one image and the sizes of the pipeline.

    Attributes:
        gpu_s: Engine.
        decode_s: Reading from memory and decoding, one thread.
        encode_s: Run lengths of an image's masks.
        write_s: Writing one shard.
        schedule_s: Ray's driver, for one call of an actor.
        image_bytes: Size of a file.
        storage_bytes_per_s: What the storage gives to all readers together.
        latency_s: Until the first byte of a file.
    """

    gpu_s: float
    decode_s: float = 0.025
    encode_s: float = 0.002
    write_s: float = 0.010
    schedule_s: float = 0.010
    image_bytes: float = 500e3
    storage_bytes_per_s: float = math.inf
    latency_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Layout:
    """Holds how the work is divided; the defaults are the job's own."""

    shard_size: int = 16
    shards_per_call: int = 4
    decoders: int = 2
    cores_per_actor: int = 2


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Holds the time and the utilization of a simulated job.

    Attributes:
        seconds: From the first to the last image.
        utilization: Share of that time that a GPU was busy, mean over GPUs.
        images: Images labeled.
    """

    seconds: float
    utilization: float
    images: int


def simulate(gpus: int, calls_per_gpu: int, times: Times, layout: Layout) -> Outcome:
    """Simulates a job.

    Args:
        gpus: Actors, one GPU each.
        calls_per_gpu: Mean number of calls an actor answers.
        times: What an image costs.
        layout: How work is cut up.

    Returns:
        Time and utilization.

    Raises:
        ImportError: If simpy is not installed.
    """
    import simpy

    env = simpy.Environment()
    storage = simpy.Resource(env)
    driver = simpy.Resource(env)
    left = [gpus * calls_per_gpu]
    busy = [0.0]
    images_per_call = layout.shard_size * layout.shards_per_call

    def read(cores: Any, ready: Any) -> Generator[Any, Any, None]:
        yield env.timeout(times.latency_s)
        if math.isfinite(times.storage_bytes_per_s):
            with storage.request() as turn:
                yield turn
                yield env.timeout(times.image_bytes / times.storage_bytes_per_s)
        with cores.request() as turn:
            yield turn
            yield env.timeout(times.decode_s)
        yield ready.put(1)

    def read_all(cores: Any, ready: Any, count: list[int]) -> Generator[Any, Any, None]:
        while count[0] > 0:
            count[0] -= 1
            yield env.process(read(cores, ready))

    def write(cores: Any, writer: Any) -> Generator[Any, Any, None]:
        with writer.request() as turn:
            yield turn
            with cores.request() as core:
                yield core
                yield env.timeout(times.encode_s * layout.shard_size + times.write_s)

    def schedule(queue: Any) -> Generator[Any, Any, None]:
        # Ray keeps a second call waiting at each actor.
        while left[0] > 0:
            left[0] -= 1
            with driver.request() as turn:
                yield turn
                yield env.timeout(times.schedule_s)
            yield queue.put(1)
        yield queue.put(0)

    def act(queue: Any) -> Generator[Any, Any, None]:
        cores = simpy.Resource(env, layout.cores_per_actor)
        writer = simpy.Resource(env)
        while (yield queue.get()):
            ready = simpy.Store(env, 2)
            count = [images_per_call]
            for _ in range(layout.decoders):
                env.process(read_all(cores, ready, count))
            writes = []
            for index in range(images_per_call):
                yield ready.get()
                yield env.timeout(times.gpu_s)
                busy[0] += times.gpu_s
                if (index + 1) % layout.shard_size == 0:
                    writes.append(env.process(write(cores, writer)))
            # A call returns when its shards are written.
            yield env.all_of(writes)

    for _ in range(gpus):
        queue = simpy.Store(env, 1)
        env.process(schedule(queue))
        env.process(act(queue))
    env.run()
    return Outcome(env.now, busy[0] / (env.now * gpus), gpus * calls_per_gpu * images_per_call)


def main() -> None:
    """Prints utilization for 1 to 512 GPUs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu-ms", type=float, default=60, help="engine, one image")
    parser.add_argument("--decode-ms", type=float, default=25)
    parser.add_argument("--encode-ms", type=float, default=2)
    parser.add_argument("--write-ms", type=float, default=10, help="one shard")
    parser.add_argument("--schedule-ms", type=float, default=10, help="one call")
    parser.add_argument("--image-kb", type=float, default=500)
    parser.add_argument("--storage-gb-per-s", type=float, default=math.inf)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--decoders", type=int, default=2)
    options = parser.parse_args()
    times = Times(
        gpu_s=options.gpu_ms / 1e3,
        decode_s=options.decode_ms / 1e3,
        encode_s=options.encode_ms / 1e3,
        write_s=options.write_ms / 1e3,
        schedule_s=options.schedule_ms / 1e3,
        image_bytes=options.image_kb * 1e3,
        storage_bytes_per_s=options.storage_gb_per_s * 1e9,
        latency_s=options.latency_ms / 1e3,
    )
    layout = Layout(decoders=options.decoders, cores_per_actor=options.decoders)
    print("| GPUs | utilization | images a second |\n|---|---|---|")
    for gpus in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        outcome = simulate(gpus, 4, times, layout)
        rate = outcome.images / outcome.seconds
        print(f"| {gpus} | {outcome.utilization:.3f} | {rate:.0f} |")


if __name__ == "__main__":
    main()
