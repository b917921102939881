"""The program itself: help, version, exit codes, what it imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from infer_segment_anything_3.cli.app import main
from infer_segment_anything_3.version import VERSION

COMMANDS = (
    *("segment", "track", "label", "export", "score", "serve", "weights", "doctor"),
    *("install", "demo", "demo-video"),
)
HEAVY = ("torch", "numpy", "cv2", "ikomia", "sam3", "matplotlib", "PIL", "pyarrow", "fastapi")


def start(code, *arguments, **variables):
    paths = os.pathsep.join(p for p in sys.path if p)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f" {name} " not in shown] == []
    assert "Exit codes" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: infer-sam3" in shown
    if command in ("segment", "track", "label", "export", "score", "serve"):
        assert "Example" in shown


def test_the_version_is_the_projects(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"infer-sam3 {VERSION}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["segment", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom infer_segment_anything_3.cli.app import main\n"
        f"main({arguments!r})\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    out, _ = start(code).communicate(timeout=60)
    assert out.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment"], "Missing argument"),
        (["segment", "a.png", "--no-such-option"], "No such option"),
        (["no-such-command"], "No such command"),
    ],
)
def test_wrong_words_are_explained(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_completion_is_offered(capsys):
    code = "from infer_segment_anything_3.cli.app import main; main(['--show-completion', 'bash'])"
    out, _ = start(code).communicate(timeout=60)
    assert "complete" in out or "COMPLETE" in out


def test_ctrl_c_ends_with_a_sentence(tmp_path, scene_path):
    for index in range(400):
        (tmp_path / f"{index}.png").symlink_to(scene_path)
    code = "import sys; from infer_segment_anything_3.cli.app import main; sys.exit(main())"
    arguments = ("segment", tmp_path, "--text", "circle", "--model", "tiny_shapes", "--json")
    process = start(code, *arguments, OMP_NUM_THREADS="1")
    assert process.stdout.readline().startswith("{"), "the first image is done"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in err
