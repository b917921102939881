from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distribution, packages_distributions, version
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = ("dev", "audit")
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {
    "linux": "x86_64-manylinux_2_35",
    "win32": "windows",
    "darwin": "aarch64-apple-darwin",
}

SAM3_VERSION = "0.1.4"
SAM3_SHA256 = "2ba8d09c7a33ca6ada983ccb69be7c0c07397fc7f9e09799a82ffe4cde7fbcca"
"""Over the names and contents of the Python files that the wheel lists, in order."""
SAM3_WHEEL_SHA256 = "dc2089fccbcd183896df8cf9b3bf53da9f6a23f17e49f5b643ade993322d2949"
VOCABULARY_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"

HOST = {"ikomia", "pyqt6"}
OPTIONAL = {"peft", "supervision", "openvino", "modelscope-hub"}
"""Imported only by a function that a user who has it calls."""
UNDECLARED_BY_SAM3 = {"psutil", "scikit-image", "triton", "torch", "torchvision"}


def read_requirements() -> list[Requirement]:
    lines = (CHECKOUT / "requirements.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def read_lock(name: str) -> list[tuple[Requirement, set[str]]]:
    text = (CHECKOUT / "tools" / "lock" / f"{name}.txt").read_text("utf-8")
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    lines = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    return [
        (Requirement(line.split(" --hash=")[0]), set(re.findall(r"--hash=sha256:(\w{64})", line)))
        for line in lines
    ]


def environment(platform: str, python: str = "3.11") -> dict[str, str]:
    system, machine = {
        "linux": ("Linux", "x86_64"),
        "win32": ("Windows", "AMD64"),
        "darwin": ("Darwin", "arm64"),
    }[platform]
    return {
        **default_environment(),
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
    }


def applies(requirement: Requirement, wanted: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(wanted)


def test_vocabulary_is_the_known_one():
    from infer_segment_anything_3.engine.model.vocabulary import find_bpe_vocabulary

    assert hashlib.sha256(Path(find_bpe_vocabulary()).read_bytes()).hexdigest() == VOCABULARY_SHA256


def test_sam3_is_the_known_one():
    sam3 = distribution("sam3")
    digest = hashlib.sha256()
    for name in sorted(file.as_posix() for file in sam3.files or () if file.suffix == ".py"):
        content = Path(str(sam3.locate_file(name))).read_bytes()
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    assert sam3.version == SAM3_VERSION
    assert digest.hexdigest() == SAM3_SHA256


def test_sam3_wheel_is_locked_by_hash():
    (hashes,) = [h for requirement, h in read_lock("dev") if requirement.name == "sam3"]
    assert SAM3_WHEEL_SHA256 in hashes


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_exact_versions_by_hash_and_no_host(name):
    text = (CHECKOUT / "tools" / "lock" / f"{name}.txt").read_text("utf-8")
    assert not re.search(r"://|--(extra-)?index|--find-links", text)
    for requirement, hashes in read_lock(name):
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
        assert hashes, requirement


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_requirements_agree_with_the_lock(platform, python):
    wanted = environment(platform, python)
    locked = {
        canonicalize_name(requirement.name): requirement
        for requirement, _ in read_lock("dev")
        if applies(requirement, wanted)
    }
    for requirement in read_requirements():
        if applies(requirement, wanted):
            (pin,) = locked[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(pin.version), requirement


def test_development_tools_are_locked():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    direct = [Requirement(r) for r in groups["host"] + groups["dev"] if isinstance(r, str)]
    locked = {canonicalize_name(requirement.name) for requirement, _ in read_lock("dev")}
    assert {canonicalize_name(requirement.name) for requirement in direct} <= locked


@pytest.mark.parametrize("requirement", read_requirements(), ids=lambda r: r.name)
def test_installed_versions_are_in_the_ranges(requirement):
    if applies(requirement, dict(default_environment())):
        assert requirement.specifier.contains(Version(version(requirement.name)))


@pytest.mark.parametrize(
    ("platform", "triton"),
    [("linux", ["triton"]), ("win32", ["triton-windows"]), ("darwin", [])],
)
def test_triton_is_asked_for_where_it_exists(platform, triton):
    names = [r.name for r in read_requirements() if applies(r, environment(platform))]
    assert [name for name in names if name.startswith("triton")] == triton


def test_host_is_not_required():
    # Ikomia would install itself, or a Qt, over the one it runs in.
    assert not HOST & {canonicalize_name(r.name) for r in read_requirements()}


def test_ikomia_finds_one_file_of_requirements():
    # It installs every file of the root that this matches, developers' ones too.
    names = [
        p.name for p in CHECKOUT.iterdir() if re.fullmatch(r"[rR]equirements[0-9]*\.txt", p.name)
    ]
    assert names == ["requirements.txt"]


def imported_by_the_plugin() -> dict[str, str]:
    """Top-level names that the shipped code imports, each with a file that does."""
    folders = ("adapter", "engine", "studio")
    files = [p for folder in folders for p in (CHECKOUT / folder).rglob("*.py")]
    found = {}
    for path in [*files, *CHECKOUT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            else:
                continue
            found |= {name.split(".")[0]: str(path.relative_to(CHECKOUT)) for name in names}
    return found


def test_everything_imported_is_required():
    required = {canonicalize_name(r.name) for r in read_requirements()} | HOST | OPTIONAL
    distributions = packages_distributions()
    own = {"infer_segment_anything_3", "pyqtutils", "qtconversion"}
    missing = {
        name: path
        for name, path in imported_by_the_plugin().items()
        if name not in sys.stdlib_module_names | own
        and not required & {canonicalize_name(d) for d in distributions.get(name, [name])}
    }
    assert not missing
    assert required >= UNDECLARED_BY_SAM3


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("uv", path=sysconfig.get_path("scripts"))
    assert program, "uv is one of the development tools: make venv"
    # torch's wheels for Macs ask for macOS 14.
    settings = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    return subprocess.run(
        [program, "pip", "compile", "--quiet", "--no-header", *arguments],
        cwd=CHECKOUT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.network
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_requirements_resolve_to_wheels(platform, python):
    answer = uv(
        "requirements.txt",
        # Pure Python, published as source only.
        *("--only-binary", ":all:", "--no-binary", "iopath"),
        *("--python-platform", PLATFORMS[platform], "--python-version", python),
    )
    assert answer.returncode == 0, answer.stderr
    assert f"sam3=={SAM3_VERSION}" in answer.stdout


@pytest.mark.network
def test_lock_is_up_to_date(tmp_path):
    for name, arguments in {"dev": ["requirements.txt"], "audit": []}.items():
        before = CHECKOUT / "tools" / "lock" / f"{name}.txt"
        after = Path(shutil.copy(before, tmp_path))
        answer = uv(
            *("--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--group", f"pyproject.toml:{name}", *arguments, "--output-file", str(after)),
        )
        assert answer.returncode == 0, answer.stderr
        assert after.read_text("utf-8") == before.read_text("utf-8"), "run make lock"
