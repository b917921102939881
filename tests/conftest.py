"""Runs every test in a home of its own, without a network, on the real Ikomia.

Ikomia fixes its folders from ``HOME`` when it is first imported, and Qt must be complete
before that, so both are arranged before any test module is imported. Tests of the engine
need neither: on a machine without Ikomia the tests that use it are left out.
"""

from __future__ import annotations

import gc
import importlib.util
import ipaddress
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from infer_segment_anything_3.engine import Engine
    from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

NAME = "infer_segment_anything_3"
CHECKOUT = Path(__file__).resolve().parents[1]
AGENT_VARIABLES = ("SAM3_AGENT_URL", "SAM3_AGENT_KEY", "SAM3_AGENT_MODEL")
USER_VARIABLES = (
    "HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_TOKEN",
    "SAM3_CHECKPOINT",
    *AGENT_VARIABLES,
)
HAS_IKOMIA = importlib.util.find_spec("ikomia") is not None

user_environment = {name: os.environ[name] for name in USER_VARIABLES if name in os.environ}
refused_hosts: list[str] = []
_home = Path(tempfile.mkdtemp(prefix="ikomia-home-"))
_network = {"allowed": False}

# A shell starts jobs in the background with SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

if not HAS_IKOMIA and "CI" not in os.environ:
    collect_ignore = ["plugin", "widget"]


def _load_ikomia_home() -> ModuleType:
    """Loads ``examples/ikomia_home.py`` by its path: the package cannot be found yet."""
    path = CHECKOUT / "examples" / "ikomia_home.py"
    spec = importlib.util.spec_from_file_location("_ikomia_home", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _set_the_scene() -> None:
    ikomia_home = _load_ikomia_home()
    plugins = ikomia_home.fill_home(_home).parent
    # The checkout itself holds a module of the package's name and would hide the package.
    sys.path[:] = [str(plugins), *(p for p in sys.path if Path(p or ".").resolve() != CHECKOUT)]
    for variable in USER_VARIABLES:
        os.environ.pop(variable, None)
    os.environ["HF_HOME"] = str(_home / "huggingface")
    # Sums differ in their last bits with the number of threads, which the engine lowers on a
    # busy machine: one thread makes equal runs equal, and the small model is as fast.
    os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or "1"
    ikomia_home.set_environment(_home, with_qt=HAS_IKOMIA)
    sys.addaudithook(_refuse_network)


def pytest_collection_finish() -> None:
    """Excludes the modules and tests, which stay to the end, from later garbage collections."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Removes the temporary home; lets Python free at its end what was excluded."""
    gc.unfreeze()
    shutil.rmtree(_home, ignore_errors=True)


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not _network["allowed"] and not _is_loopback(host):
        refused_hosts.append(str(host))
        raise ConnectionRefusedError(f"tests have no network: {host}")


def _is_loopback(host: str | bytes | None) -> bool:
    text = host.decode() if isinstance(host, bytes) else host
    if text in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


# Not in ``pytest_configure``: the conftest files below this one are imported before that.
_set_the_scene()


@pytest.fixture(autouse=True)
def _network_guard(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that tried to leave the machine, even if its code hid the refusal."""
    refused_hosts.clear()
    markers = {marker.name for marker in request.node.iter_markers()}
    _network["allowed"] = not markers.isdisjoint(("agent", "network"))
    yield
    _network["allowed"] = False
    if "network_attempts" not in request.fixturenames:
        assert not refused_hosts, "the test tried to reach the network"


@pytest.fixture
def network_attempts() -> list[str]:
    """Hosts outside this machine that the test tried to reach, each of them refused."""
    return refused_hosts


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Sends the user's own variables to a worker of pytest-xdist, which inherits hidden ones."""
    node.workerinput["user_environment"] = user_environment


@pytest.fixture(scope="session")
def user_env(pytestconfig: pytest.Config) -> dict[str, str]:
    """The user's own ``USER_VARIABLES``, hidden from tests, for those that want real weights."""
    worker = getattr(pytestconfig, "workerinput", {})
    return worker.get("user_environment", user_environment)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the repository."""
    return CHECKOUT


@pytest.fixture(scope="session")
def tiny_engine() -> Engine:
    """The bundled model in float32 on the CPU, shared by all tests."""
    from infer_segment_anything_3.engine import Engine

    return Engine.load("tiny_shapes", precision="float32", device="cpu")


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """Draws a scene: ``scene(seed=0, **draw_scene's arguments)``."""
    from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

    def draw(seed: int = 0, **arguments: Any) -> Scene:
        arguments.setdefault("side_range_px", (240, 480))
        return draw_scene(np.random.default_rng(seed), **arguments)

    return draw


@pytest.fixture(scope="session")
def ikomia_home() -> Path:
    """Home folder of a real Ikomia that has the checkout as its one local plugin."""
    if "CI" not in os.environ:
        pytest.importorskip("ikomia")
    from ikomia.dataprocess.registry import ik_registry

    ik_registry.load_python_algorithm(str(_home / "Ikomia" / "Plugins" / "Python" / NAME))
    return _home


@pytest.fixture
def make_algo(ikomia_home: Path) -> Callable[..., tuple[Any, Any]]:
    """Makes ``(workflow, task)`` with the bundled model: ``make_algo(input_text="circle")``.

    ``workflow=`` adds the task to one that is there already; other keywords are parameters.
    """
    from ikomia.dataprocess.workflow import Workflow

    def make(workflow: Any = None, **parameters: Any) -> tuple[Any, Any]:
        workflow = workflow if workflow is not None else Workflow()
        algo = workflow.add_task(name=NAME, auto_connect=True, public_hub=False)
        values = {"model_name": "tiny_shapes", "precision": "float32", "cuda": False, **parameters}
        algo.set_parameters({name: str(value) for name, value in values.items()})
        return workflow, algo

    return make


@pytest.fixture
def wf(make_algo: Callable[..., tuple[Any, Any]]) -> Any:
    """A workflow whose one task is the plugin's, with the bundled model."""
    workflow, _ = make_algo()
    return workflow
