"""``doctor`` and ``install``."""

from __future__ import annotations

import importlib.util

import pytest

from infer_segment_anything_3.engine.checkpoints.zoo import find_weights


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def test_it_shows_packages_weights_and_parts(run):
    code, out, _ = run("doctor", model=False)
    assert code == 0
    for shown in ("torch 2.", "sam3 0.1.4", "tiny_shapes", "bundled:", "ikomia", "serve", "GPU"):
        assert shown in out, shown
    assert "hf auth login" in out


def test_a_checkpoint_by_the_environment_is_named(run, tmp_path, monkeypatch):
    path = tmp_path / "mine.pt"
    monkeypatch.setenv("SAM3_CHECKPOINT", str(path))
    code, out, _ = run("doctor", model=False)
    assert code == 0
    assert "there is no such file" in out
    path.touch()
    assert f"{path}, by the environment variable SAM3_CHECKPOINT" in run("doctor", model=False)[1]


@pytest.mark.parametrize(
    ("missing", "code", "shown"),
    [
        ("sam3", 1, "Missing: sam3. Run: "),
        ("pyarrow", 0, "infer_segment_anything_3[labeling]"),
        ("ikomia", 0, "pip install ikomia"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(run, monkeypatch, missing, code, shown):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == missing else find_spec(name, package),
    )
    done, out, _ = run("doctor", model=False)
    assert done == code
    assert shown in out


def test_install_links_the_package(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    link = tmp_path / "Ikomia" / "Plugins" / "Python" / "infer_segment_anything_3"
    for _ in range(2):
        code, _, err = run("install", model=False)
        assert code == 0
        assert (link / "infer_segment_anything_3_process.py").is_file()
        assert "pip install -r" in err
    link.unlink()
    link.mkdir()
    assert run("install", model=False)[0] == 1
    assert link.is_dir()


def test_it_looks_at_a_file_and_at_a_repository(run, tmp_path):
    path = find_weights("tiny_shapes")
    assert f"{path}: Meta's SAM 3; concepts, objects, video tracking" in run(
        "doctor", str(path), model=False
    )[1].replace("\n", "")
    assert "there is no such file" in run("doctor", str(tmp_path / "no.pt"), model=False)[1]
    folder = tmp_path / "hub" / "models--mine--copy" / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (folder / "mine.safetensors").write_bytes(path.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        out = run("doctor", "mine/copy:mine.safetensors", model=False)[1]
    assert "mine.safetensors, in the cache" in out
