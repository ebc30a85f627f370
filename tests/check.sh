#!/bin/sh
# Everything a change has to pass, in one command: format, lint, types, tests.
set -eu
cd "$(dirname "$0")/.."
ruff format --check .
ruff check .
mypy
python -m pytest -m "not gpu" "$@"
