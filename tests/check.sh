#!/bin/sh
# Everything a change has to pass, in one command: format, lint, types, tests. Two workers, a file at a time: most of the
# tests compute, and those with processes of their own wait for them. One thread each: where there are two cores, two
# pools of two threads wait for each other, which made some tests a hundred times slower.
set -eu
cd "$(dirname "$0")/.."
ruff format --check .
ruff check .
mypy
OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile -m "not gpu" "$@"
