#!/bin/sh
# Asks a public database whether the locked versions have known vulnerabilities.
# The tool is installed in an environment of its own. Usage: audit.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."

sh tools/venv.sh "${1:-}"

lock=tools/lock/audit.txt
venv=.venv/audit
if ! cmp -s "$lock" "$venv/installed.txt"; then
    rm -rf "$venv"
    .venv/bin/python -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --require-hashes --requirement "$lock"
    cp "$lock" "$venv/installed.txt"
fi

# Strict: a version that the database does not know is a failure, not a pass.
"$venv/bin/python" -m pip_audit --strict --disable-pip \
    --requirement tools/lock/dev.txt || {
    echo "make audit: either a locked version has a known vulnerability (listed above), or the" \
        "database could not be reached from here; see SECURITY.md." >&2
    exit 1
}
