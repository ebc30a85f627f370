"""A site's own Llama 4 in the local model host: added by the command, named in the configuration, asked by a client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from openai import OpenAI

from tests.e2e.conftest import KEY, RULES_ONLY, running, write_config
from tests.engine import tiny


def test_checkpoints_are_served_beside_one_another(tmp_path: Path) -> None:
    for name in ("scout", "second"):
        tiny.llama4(tmp_path / name, seed=len(name), max_position_embeddings=1024)
        (tmp_path / name / "manifest.json").unlink()
        command = ["models", "add", name, "--engine", "--licence", "house", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["ok"]
    (tmp_path / "policy.yaml").write_text(RULES_ONLY)
    house = "{path: scout, model: llama-4-scout, kv: 16MiB, kv_precision: int8}"
    config = write_config(tmp_path, policy="policy.yaml", engine="-")
    engines = f"engines: {{house: {house}, rest: {{path: second, precision: int8, kv: 16MiB, processes: 2}}}}"
    config.write_text(config.read_text().replace("engine: -", engines))
    with running(tmp_path, config) as gateway:
        client = OpenAI(base_url=f"{gateway.api}/v1", api_key=KEY, max_retries=0)
        assert {model.id for model in client.models.list()} == {"llama-4-scout", "second"}
        for model in ("llama-4-scout", "second"):
            answer = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "hello"}], max_tokens=5, temperature=0, seed=1
            )
            assert answer.model == model
            assert answer.usage is not None
            assert answer.usage.completion_tokens <= 5
