"""A checkpoint of one's own: added, configured, served, judging, cited in the record, and refused when it changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Gateway, start, write_config
from tests.e2e.tiny_guards import llama_guard, prompt_guard

POLICY = """\
gatehouse: policy/v1
name: own-guards
version: 1.0.0
owner: tests@gatehouse.example
defaults: {stream: {mode: buffer}}
detectors:
  inject: {use: prompt_guard_2_86m, threshold: 1, timeout: 30s}
  harm: {use: house_llama_guard, threshold: THRESHOLD, exclude: [S13], timeout: 30s}
rules:
  - {id: injection, on: [user], when: {inject: {score: {gte: 1}}}, do: {block: {code: prompt_attack}}}
  - {id: harm, on: [user, history, output], when: {harm: {unsafe: true}}, do: {block: {code: unsafe_content}}}
  - {id: pass, on: [system, user, history, output, reasoning], do: allow}
"""
GUARDS = """\
guards:
  prompt_guard_2_86m: {path: models/pg2}
  house_llama_guard: {path: models/lg3, profile: llama_guard_3_1b, deterministic: true}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints as they come from a hub, without a manifest."""
    directory = tmp_path_factory.mktemp("models")
    prompt_guard(directory / "pg2")
    llama_guard(directory / "lg3")
    return directory


class Site:
    """A directory with a configuration, a policy and models of its own."""

    def __init__(self, directory: Path, models: Path, engine: str, threshold: str = "0.9") -> None:
        self.directory = directory
        shutil.copytree(models, directory / "models")
        (directory / "policy.yaml").write_text(POLICY.replace("THRESHOLD", threshold))
        self.config = write_config(directory, policy="policy.yaml", engine=engine)
        self.config.write_text(self.config.read_text() + GUARDS)

    def start(self, **variables: str) -> Gateway:
        return start(self.directory, self.config, **variables)

    def command(self, *arguments: str) -> tuple[int, str]:
        """Through a gateway that is not running: the commands need none."""
        done = Gateway(None, self.directory, "", "", self.config).command(*arguments)  # type: ignore[arg-type]
        return done.returncode, done.stdout + done.stderr

    def add(self) -> None:
        for name, profile in (("pg2", "prompt_guard_2_86m"), ("lg3", "llama_guard_3_1b")):
            status, said = self.command("models", "add", f"models/{name}", "--profile", profile)
            assert status == 0, said

    def records(self) -> list[dict[str, Any]]:
        segments = sorted((self.directory / "var" / "audit").rglob("*.jsonl"))
        return [json.loads(line) for path in segments for line in path.read_text().splitlines()]


@pytest.fixture
def site(tmp_path: Path, models: Path, scripted: str) -> Site:
    return Site(tmp_path, models, f"{{url: '{scripted}/v1'}}")


def test_a_guard_of_ones_own_judges_and_the_record_says_which_it_was(site: Site) -> None:
    site.add()
    status, said = site.command("policy", "check", "--config", str(site.config), "policy.yaml")
    assert status == 0, said
    gateway = site.start()
    try:
        gateway.wait_ready(90)
        answer = gateway.chat("what is the capital of France?")
        assert answer.status_code == 200, answer.text
    finally:
        assert gateway.stop() == 0
    assert gateway.verify().returncode == 0
    admitted = next(record for record in site.records() if record["type"] == "request.admit")
    guards = {guard["name"]: guard for guard in admitted["guards"]}
    assert (guards["inject"]["use"], guards["inject"]["profile"]) == ("prompt_guard_2_86m", "prompt_guard_2_86m")
    assert (guards["harm"]["use"], guards["harm"]["profile"]) == ("house_llama_guard", "llama_guard_3_1b")
    assert guards["harm"]["template_digest"].startswith("sha256:")
    status, said = site.command("models", "verify", "--json", "--config", str(site.config))
    assert status == 0, said
    digests = {row["model"]: row["weights_digest"] for row in map(json.loads, said.splitlines())}
    assert guards["inject"]["weights_digest"] == digests["prompt_guard_2_86m"]
    assert guards["harm"]["weights_digest"] == digests["house_llama_guard"]
    [row] = guards["harm"]["rows"]
    assert 0 < row["score_ppm"] < 900_000
    assert row["view"]


def test_it_starts_and_judges_where_every_socket_but_loopback_is_refused(site: Site, tmp_path: Path) -> None:
    """No hub is asked for anything, not even whether there is something newer."""
    site.add()
    tried = tmp_path / "egress"
    hooked = f"{Path(__file__).parent / 'no_egress'}{os.pathsep}{ROOT}"
    probe = "import socket; socket.getaddrinfo('huggingface.co', 443)"
    variables = {"PYTHONPATH": hooked, "GATEHOUSE_TEST_EGRESS": str(tried)}
    refused = subprocess.run([sys.executable, "-c", probe], env=os.environ | variables, capture_output=True, text=True)
    assert "PermissionError" in refused.stderr, "the hook has to work, or the test says nothing"
    tried.unlink()
    gateway = site.start(**variables)
    try:
        gateway.wait_ready(90)
        host = Path(f"/proc/{gateway.child('engine.server')}/environ").read_bytes()
        assert gateway.chat("what is the capital of France?").status_code == 200
    finally:
        assert gateway.stop() == 0
    assert b"HF_HUB_OFFLINE=1" in host.split(b"\0")
    assert str(tried).encode() in host, "the model host runs with the hook, too"
    assert not tried.exists(), tried.read_text()


def test_a_directory_without_a_manifest_is_named_with_the_command_that_mends_it(site: Site) -> None:
    gateway = site.start()
    assert gateway.process.wait(60) == 2
    assert "has no manifest.json (gatehouse models add" in gateway.log()
    assert "gatehouse.yaml:10:3" in gateway.log()


def test_a_model_that_was_never_trained_is_found_by_asking_it(site: Site) -> None:
    """Its files are whole, tokenizer and template are right, every tensor is there: only its verdicts mean nothing."""
    arguments = ("models", "add", "models/lg3", "--profile", "llama_guard_3_1b", "--probe")
    status, said = site.command(*arguments)
    assert status == 1
    assert "does not behave like `llama_guard_3_1b`" in said
    assert not (site.directory / "models" / "lg3" / "manifest.json").exists()


def test_one_flipped_byte_stops_the_start(site: Site) -> None:
    site.add()
    weights = site.directory / "models" / "lg3" / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    status, said = site.command("models", "verify", "house_llama_guard", "--config", str(site.config))
    assert status == 1
    assert str(weights) in said
    gateway = site.start()
    assert gateway.process.wait(60) == 2
    assert "file_corrupt" in gateway.log()
