"""Tiny checkpoints that several tests of the host share."""

from __future__ import annotations

import pytest

from tests.engine import tiny


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    chat = tiny.llama4(tmp_path_factory.mktemp("chat"), max_position_embeddings=1024)
    injection = tiny.bert(tmp_path_factory.mktemp("injection"))
    hazard = tiny.bert(tmp_path_factory.mktemp("hazard"), labels=4, multi_label=True)
    return [
        {"name": "chat", "path": str(chat), "task": "generate"},
        {"name": "injection", "path": str(injection), "task": "classify"},
        {"name": "hazard", "path": str(hazard), "task": "classify"},
    ]
