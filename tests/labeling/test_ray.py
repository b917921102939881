"""The job on a Ray cluster of this machine: two actors, killed ones among them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from .conftest import read_rows, save_scene
from .test_job import shard_files, wait_for_shards

RAY = ("--shard", "2", "--ray", "here", "--ray-actors", "2")


@pytest.fixture
def many_images(images):
    for seed in range(10, 60):
        save_scene(images / f"{seed}.png", seed)
    (images / "broken.png").write_bytes(b"no image")
    return images


@pytest.fixture
def expected_rows(many_images, out, label, tmp_path):
    label("--shard", "2")
    rows = read_rows(out)
    out.rename(tmp_path / "plain")
    return rows


def find_actors(process):
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "_ShardActor" in " ".join(child.cmdline())]


def assert_same(rows, expected):
    assert [row.name for row in rows] == [row.name for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert (row.sha256, row.hw, row.error) == (other.sha256, other.hw, other.error)
        assert [i.category_id for i in row.instances] == [i.category_id for i in other.instances]
        for one, two in zip(row.instances, other.instances, strict=True):
            assert one.score == pytest.approx(two.score, abs=1e-4)
            # Another thread count may round a logit on the outline the other way.
            assert one.area_px == pytest.approx(two.area_px, rel=0.01, abs=3)


@pytest.mark.ray
def test_an_actor_that_is_killed_loses_nothing(expected_rows, out, start_label):
    with start_label(*RAY) as process:
        wait_for_shards(out, process, 1)
        actors = find_actors(process)
        assert len(actors) == 2
        actors[0].send_signal(signal.SIGKILL)
        _, printed = process.communicate(timeout=500)
    assert process.returncode == 3, printed
    assert "broken.png: image: expected an image file" in printed
    assert_same(read_rows(out), expected_rows)


@pytest.mark.ray
def test_a_driver_that_is_killed_loses_nothing(expected_rows, out, label, start_label):
    with start_label(*RAY) as process:
        wait_for_shards(out, process, 2)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    # Ray's own processes end by themselves once they miss the driver.
    _, alive = psutil.wait_procs(children, timeout=60)
    for child in alive:
        child.kill()
    before = shard_files(out)
    assert 2 <= len(before) < 30
    # What Ray began goes on without it.
    assert label("--shard", "2")[0] == 3
    assert before.items() <= shard_files(out).items()
    assert_same(read_rows(out), expected_rows)


def test_a_sentence_says_how_ray_is_installed(images, out):
    # A module of this name that cannot be imported stands for none.
    blocked = (
        "import sys; sys.modules['ray'] = None\n"
        "from infer_segment_anything_3.cli.app import main\n"
        f"sys.exit(main(['label', {str(images)!r}, '--out', {str(out)!r}, '--text', 'star',"
        "'--model', 'tiny_shapes', '--ray', 'here']))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    answer = subprocess.run(
        [sys.executable, "-P", "-c", blocked],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 2
    assert "pip install -r requirements-ray.txt" in answer.stderr
    assert "Traceback" not in answer.stderr
