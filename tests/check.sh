#!/bin/sh
# Everything a change has to pass, in one command: format, lint, types, tests. Two workers, a file at a time: most of the
# tests compute, and those with processes of their own wait for them.
set -eu
cd "$(dirname "$0")/.."
ruff format --check .
ruff check .
mypy
python -m pytest -n 2 --dist loadfile -m "not gpu" "$@"
