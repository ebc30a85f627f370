#!/bin/sh
# Install what bench/front.py compares Gatehouse with, outside the repository: LiteLLM in a virtual environment of its
# own, nginx from Debian (needs root), and py-spy for profiles. Takes some minutes. Nothing here is needed to run or to
# test Gatehouse.
set -eu
home=${GATEHOUSE_BENCH_HOME:-/tmp/gatehouse-bench}
python=${PYTHON:-python3}
mkdir -p "$home"

"$python" -m venv "$home/litellm"
"$home/litellm/bin/pip" install --quiet 'litellm[proxy]==1.106.2'
"$python" -m venv "$home/tools"
"$home/tools/bin/pip" install --quiet 'py-spy==0.4.1'

if ! command -v nginx >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends nginx-light
fi
echo "installed in $home: litellm, py-spy; nginx: $(command -v nginx)"
