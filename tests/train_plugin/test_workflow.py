"""Both plugins as the HUB ships them: a data set is learned, and its adapter is used."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("peft")
pytest.importorskip("torchmetrics")

from infer_segment_anything_3.tools import package
from infer_segment_anything_3.tools.package_contents import INFER, TRAIN
from infer_segment_anything_3.tools.tiny_shapes.data_set import draw_data_set

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / ".git").exists(), reason="the packages are made of what git tracks"
)

SCRIPT = """
import json, sys
from pathlib import Path
from PyQt6 import QtCore, QtDBus, QtGui, QtNetwork, QtSql, QtSvg, QtWidgets
from ikomia.core import config
address, folder, answer = sys.argv[1:]
for server in ("mlflow", "tensorboard"):
    config.main_cfg[server]["tracking_uri"] = address
import mlflow
from ikomia import dataprocess
from ikomia.dataprocess.workflow import Workflow
from ikomia.dnn.dataset import load_coco_dataset
from ikomia.dnn.datasetio import IkDatasetIO

class Loader(dataprocess.CWorkflowTask):
    def __init__(self):
        dataprocess.CWorkflowTask.__init__(self, "loader")
        self.add_output(IkDatasetIO("coco"))

    def run(self):
        self.begin_task_run()
        self.get_output(0).data = load_coco_dataset(f"{folder}/annotations.json", folder)
        self.end_task_run()

workflow = Workflow()
loader = Loader()
workflow.add_task(task=loader)
train = workflow.add_task(name="train_segment_anything_3", auto_connect=True, public_hub=False)
assert "infer_segment_anything_3" not in sys.modules
train.set_parameters(
    {"model_name": "tiny_shapes", "cuda": False, "steps": 3, "anchors": 0,
     "rename": "star=red thing", "validation_share": 0.3, "output_folder": f"{folder}/out"}
)
workflow.run()

other = Workflow()
algo = other.add_task(name="infer_segment_anything_3", auto_connect=True, public_hub=False)
algo.set_parameters(
    {"model_name": "tiny_shapes", "model_weight_file": train.get_weight_file(), "cuda": False,
     "input_text": "circle, square, triangle"}
)
image = sorted(Path(folder).glob("*.png"))[0]
other.run_on(path=str(image))
(run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
json.dump(
    {
        "weights": train.get_weight_file(),
        "data": train.get_output(0).data,
        "found": len(algo.get_output(2).get_objects()),
        "metrics": sorted(run.data.metrics),
        "parameters": run.data.params,
        "status": run.info.status,
    },
    open(answer, "w"),
)
"""


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow on this machine's own address: the base class of the task finds it running."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = tmp_path_factory.mktemp("mlflow").as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", store]
    process = subprocess.Popen(
        [*command, "--default-artifact-root", store],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def test_a_data_set_is_learned_and_its_adapter_used(mlflow_server: str, tmp_path: Path) -> None:
    plugins = tmp_path / "home" / "Ikomia" / "Plugins" / "Python"
    for contents in (INFER, TRAIN):
        package.stage_package(CHECKOUT, plugins / contents.name, contents)
        assert package.find_problems(plugins / contents.name, contents) == []
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    draw_data_set(scenes, 5, side_range_px=(200, 260))
    answer = tmp_path / "answer.json"
    run = subprocess.run(
        [sys.executable, "-P", "-B", "-c", SCRIPT, mlflow_server, str(scenes), str(answer)],
        cwd=tmp_path,
        env=os.environ
        | {
            "HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "1",
            "IKOMIA_AUTO_COMPLETION": "false",
            "QT_QPA_PLATFORM": "offscreen",
        },
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    found = json.loads(answer.read_text())
    adapter = scenes / "out" / "adapter"
    assert found["weights"] == f"+ {adapter}"
    assert (adapter / "adapter_config.json").is_file()
    assert found["data"]["adapter"] == str(adapter)
    assert {"before", "after"} <= set(found["data"]["scores"])
    assert found["found"] > 0
    assert found["status"] == "FINISHED"
    assert found["parameters"]["steps"] == "3"
    assert "loss" in found["metrics"]
    assert any(name.startswith("after/new/") for name in found["metrics"])
