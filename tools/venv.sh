#!/bin/sh
# Makes .venv with exactly the versions of a lock file, or returns at once if it is there.
# Needs nothing but a Python that Ikomia has wheels for. Usage: venv.sh [PYTHON] [demo]
# With "demo" only what the demo runs with is installed; a later call without it adds the rest.
set -eu
cd "$(dirname "$0")/.."

all=tools/lock/dev.txt
lock=$all
what="Ikomia, PyTorch and all tools; about 8 GB"
if [ "${2:-}" = demo ]; then
    lock=tools/lock/demo.txt
    what="what the demo needs; about 5 GB, most of it PyTorch with CUDA"
    # The demo's lock has no Triton, which only a GPU needs.
    if command -v nvidia-smi >/dev/null 2>&1; then lock=$all; fi
fi
venv=.venv
installed=$venv/installed.txt
name=infer_segment_anything_3

# The copy of the lock is written last, so it tells that an installation was completed.
for complete in "$lock" "$all"; do
    if cmp -s "$complete" "$installed" && "$venv/bin/python" -c '' 2>/dev/null; then
        exit 0
    fi
done
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

probe='
import sys
supported = (3, 11) <= sys.version_info[:2] <= (3, 13) and sys.implementation.name == "cpython"
sys.exit(0 if supported and sys.maxsize > 2**32 else 1)
'

# A version manager leaves commands on the PATH that only print an error: each is run, not
# just looked up.
python=
for candidate in "${1:-}" python3.11 python3.12 python3.13 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c "$probe" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
    if [ -n "${1:-}" ]; then
        fail "PYTHON=$1 is not a 64-bit CPython 3.11, 3.12 or 3.13." \
            "Ikomia has wheels for these versions only."
    fi
done
if [ -z "$python" ]; then
    fail "No suitable Python: need a 64-bit CPython 3.11, 3.12 or 3.13, because Ikomia has" \
        "wheels for these versions only. Install one (Debian, Ubuntu: apt install python3.12" \
        "python3.12-venv) or name it: make PYTHON=/path/to/python3.12 ..."
fi
version=$("$python" -c 'import platform; print(platform.python_version())')
echo "Using $python (Python $version): Ikomia has wheels for CPython 3.11, 3.12 and 3.13 only," \
    "and 3.11 is tried first because the tests ran on it most."

"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments. Debian, Ubuntu: apt install python${version%.*}-venv"

echo "Installing the versions of $lock into $venv, once: $what; some minutes."
started=$(date +%s)
if [ "$("$venv/bin/python" -c 'import platform; print(platform.python_version())' 2>/dev/null)" != "$version" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
rm -f "$installed"
# The lock is complete, so nothing is left to resolve; every file is checked by its hash.
# Somebody who waits sees pip's progress, a log file only errors.
quiet=-qq
if [ -t 1 ]; then quiet=--progress-bar=on; fi
"$venv/bin/python" -m pip install "$quiet" --disable-pip-version-check --no-deps \
    --require-hashes --requirement "$lock"

# The package is the checkout itself, whatever its folder is called: Python finds it by the
# name of this link.
mkdir -p "$venv/plugins"
ln -sfn ../.. "$venv/plugins/$name"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo ../../../plugins >"$site/$name.pth"
"$venv/bin/python" -P -c "import $name"

cp "$lock" "$installed"
echo "Installed in $(($(date +%s) - started)) s."
