#!/bin/sh
# Install what bench/guards.py compares Gatehouse's /classify with: LlamaFirewall, outside the repository, with the
# transformers that it can be imported with (1.0.3 needs `HfFolder`, which huggingface_hub 1.0 took away). torch is the
# one in the repository's virtual environment, so that both sides multiply with the same library; CodeShield's own
# dependencies are left out, no scanner of that name is run.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
home=${GATEHOUSE_BENCH_HOME:-/tmp/gatehouse-bench}
python=${PYTHON:-"$root/.venv/bin/python"}
mkdir -p "$home"

"$python" -m venv "$home/llamafirewall"
"$home/llamafirewall/bin/pip" install --quiet --no-deps 'llamafirewall==1.0.3' 'codeshield==1.0.1'
"$home/llamafirewall/bin/pip" install --quiet 'transformers==4.57.6' 'huggingface-hub==0.36.2' 'openai' 'pydantic' 'typer'
packages=$("$home/llamafirewall/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$packages/torch-of-the-repository.pth"
HF_HUB_OFFLINE=1 "$home/llamafirewall/bin/python" -c 'import llamafirewall.scanners.prompt_guard_scanner'
echo "installed in $home/llamafirewall"
