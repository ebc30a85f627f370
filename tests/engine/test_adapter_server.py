"""Adapters on a real host, over its socket: there from the start, added and taken away while it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from engine.adapters import FILE
from tests.engine import adapting, tiny
from tests.engine.host_process import HostProcess
from tests.engine.model_cases import prompt

REPORTED = [11, 47, 200]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama4(tmp_path_factory.mktemp("base"), max_position_embeddings=2048)


@pytest.fixture(scope="module")
def models(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """transformers' models of what is served, by name, and where each adapter lies."""
    oracle, at = tiny.oracle(base), tmp_path_factory.mktemp("adapters")
    found: dict[str, Any] = {"chat": oracle}
    for seed, name in enumerate(("clinic", "bank", "later")):
        adapting.write(at / name, oracle, seed=seed, rank=2 + seed)
        found[f"chat:{name}"] = adapting.merged(oracle, at / name)
    return found | {"at": at, "oracle": oracle}


@pytest.fixture(scope="module")
def host(base: Path, models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    adapters: Any = {name: str(models["at"] / name) for name in ("clinic", "bank")}
    entry = {"name": "chat", "path": str(base), "task": "generate", "adapters": adapters}
    process = HostProcess(tmp_path_factory.mktemp("s"), [entry])
    try:
        process.wait_until(200)
        yield process
    finally:
        process.close()


def listed(host: HostProcess) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in host.client.get("/v1/models").json()["data"]}


def scored(host: HostProcess, model: str, ids: list[int]) -> tuple[dict[str, float], dict[str, Any]]:
    asked = {"max_tokens": 1, "temperature": 0, "logprob_token_ids": REPORTED, "return_tokens_as_token_ids": True}
    response = host.post("/v1/completions", model=model, prompt=ids, **asked)
    assert response.status_code == 200, response.text
    answer = response.json()
    top = answer["choices"][0]["logprobs"]["top_logprobs"][0]
    return {f"token_id:{token}": top[f"token_id:{token}"] for token in REPORTED}, answer


def expected(model: Any, ids: list[int]) -> dict[str, float]:
    with torch.inference_mode():
        scores = model(torch.tensor([ids]), use_cache=False).logits[0, -1].log_softmax(-1)
    return {f"token_id:{token}": float(scores[token]) for token in REPORTED}


def test_each_adapter_is_a_model_with_a_digest_of_its_own(host: HostProcess) -> None:
    found = listed(host)

    assert set(found) >= {"chat", "chat:clinic", "chat:bank"}
    assert len({entry["weights"] for entry in found.values()}) == len(found)
    assert (found["chat:clinic"]["parent"], found["chat:clinic"]["rank"]) == ("chat", 2)
    assert "parent" not in found["chat"]
    assert found["chat:bank"]["max_model_len"] == 2048


@pytest.mark.parametrize("model", ["chat", "chat:clinic", "chat:bank"])
def test_scores_are_those_of_the_merged_model(model: str, host: HostProcess, models: dict[str, Any]) -> None:
    """Longer than a step, so the prompt is computed in pieces, and over chunk borders."""
    ids = prompt(600)
    found, answer = scored(host, model, ids)

    assert found == pytest.approx(expected(models[model], ids), abs=1e-4)
    assert answer["weights"] == listed(host)[model]["weights"]
    assert answer["model"] == model


def test_all_at_once_are_as_alone(host: HostProcess, models: dict[str, Any]) -> None:
    """Twelve callers in the same steps, three models, prompts that begin alike."""
    names = ["chat", "chat:clinic", "chat:bank"] * 4
    asked = [(name, [*prompt(100, 3), *prompt(20 + at, at)]) for at, name in enumerate(names)]
    found: dict[int, dict[str, float]] = {}
    threads = [
        threading.Thread(target=lambda at, name, ids: found.update({at: scored(host, name, ids)[0]}), args=(at, *one))
        for at, one in enumerate(asked)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    for at, (name, ids) in enumerate(asked):
        assert found[at] == pytest.approx(expected(models[name], ids), abs=1e-4)


def test_what_one_model_computed_is_not_taken_over_by_another(host: HostProcess) -> None:
    ids = [7, *prompt(200, 77)]
    for model in ("chat", "chat:clinic", "chat:bank"):
        first, again = (scored(host, model, ids)[1]["usage"]["prompt_tokens_details"]["cached_tokens"] for _ in "ab")
        assert (first, again) == (0, 200)


def test_an_answer_is_drawn_with_its_adapter(host: HostProcess, models: dict[str, Any]) -> None:
    ids = prompt(30, 5)
    body = {"prompt": ids, "max_tokens": 12, "temperature": 0, "logprobs": 0, "return_tokens_as_token_ids": True}
    for model in ("chat:clinic", "chat:bank"):
        [choice] = host.post("/v1/completions", model=model, ignore_eos=True, **body).json()["choices"]
        drawn = [int(name.removeprefix("token_id:")) for name in choice["logprobs"]["tokens"]]
        for at, token in enumerate(drawn):
            with torch.inference_mode():
                scores = models[model](torch.tensor([[*ids, *drawn[:at]]]), use_cache=False).logits[0, -1]
            assert float(scores.max() - scores[token]) < 1e-3


def test_chat_goes_to_an_adapter_by_its_name(host: HostProcess) -> None:
    answers = [
        host.post(
            "/v1/chat/completions",
            model=model,
            messages=[{"role": "user", "content": "hi"}],
            temperature=0,
            max_tokens=8,
        ).json()
        for model in ("chat", "chat:clinic")
    ]
    assert answers[0]["choices"][0]["message"] != answers[1]["choices"][0]["message"]
    assert answers[1]["system_fingerprint"] == listed(host)["chat:clinic"]["weights"]


def added(host: HostProcess, name: str, path: Path | str) -> httpx.Response:
    return host.client.post("/adapters", json={"name": name, "path": str(path)})


def test_one_comes_and_goes_while_the_host_runs(host: HostProcess, models: dict[str, Any]) -> None:
    ids = prompt(50, 6)
    assert host.post("/v1/completions", model="chat:later", prompt=ids).status_code == 404
    response = added(host, "chat:later", models["at"] / "later")
    assert (response.status_code, response.json()) == (201, listed(host)["chat:later"])

    assert scored(host, "chat:later", ids)[0] == pytest.approx(expected(models["chat:later"], ids), abs=1e-4)
    assert added(host, "chat:later", models["at"] / "bank").json()["error"]["code"] == "adapter_exists"

    gone = host.client.delete("/adapters/chat:later")
    assert (gone.status_code, gone.json()["deleted"]) == (200, True)
    assert "chat:later" not in listed(host)
    missing = host.post("/v1/completions", model="chat:later", prompt=ids)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert host.client.delete("/adapters/chat:later").json()["error"]["code"] == "adapter_not_found"


def test_an_answer_that_runs_keeps_its_adapter(host: HostProcess, models: dict[str, Any]) -> None:
    """Taken away, and another put under its name, in the middle of a stream: the stream is as if nothing happened."""
    body = {"model": "chat:later", "prompt": prompt(20, 8), "temperature": 0, "max_tokens": 200, "ignore_eos": True}
    assert added(host, "chat:later", models["at"] / "later").status_code == 201
    undisturbed = host.post("/v1/completions", **body).json()["choices"][0]["text"]

    raw, replaced_at = b"", 0
    with host.client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
        for piece in response.iter_bytes():
            raw += piece
            if not replaced_at:
                assert host.client.delete("/adapters/chat:later").status_code == 200
                assert added(host, "chat:later", models["at"] / "bank").status_code == 201
                assert host.pending() == 1
                replaced_at = len(raw)
    events = [json.loads(event.removeprefix(b"data: ")) for event in raw.split(b"\n\n")[:-2]]
    text = "".join(event["choices"][0]["text"] for event in events)
    other = host.post("/v1/completions", **body).json()["choices"][0]["text"]
    host.client.delete("/adapters/chat:later")

    assert 0 < replaced_at < len(raw)
    assert text == undisturbed != other


def test_the_same_name_with_other_bytes_shares_nothing(host: HostProcess, models: dict[str, Any]) -> None:
    ids = prompt(90, 31)
    for name in ("later", "bank"):
        assert added(host, "chat:again", models["at"] / name).status_code == 201
        found, answer = scored(host, "chat:again", ids)
        host.client.delete("/adapters/chat:again")
        assert found == pytest.approx(expected(models[f"chat:{name}"], ids), abs=1e-4)
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def damaged(directory: Path, oracle: Any, kind: str) -> Path:
    targets = ("q_proj", "v_proj")
    adapting.write(directory, oracle, targets, **({"use_dora": True} if kind == "dora" else {}))
    tensors, config = adapting.tensors_of(directory), adapting.config_of(directory)
    first = next(iter(sorted(tensors)))
    if kind == "shape":
        tensors[first] = torch.zeros(4, 31)
    elif kind == "nan":
        tensors[first] = torch.full_like(tensors[first], float("nan"))
    elif kind == "lacking":
        del tensors[first]
    elif kind == "rank":
        config["r"] = 0
    elif kind == "large":
        config["r"] = 4096
    elif kind == "expert":
        tensors["base_model.model.model.layers.0.feed_forward.experts.lora_A.weight"] = torch.zeros(4, 32)
    adapting.sealed(directory, tensors, config)
    if kind == "cut":
        (directory / FILE).write_bytes((directory / FILE).read_bytes()[:-9])
    if kind == "file":
        (directory / FILE).unlink()
    return directory


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("dora", "adapter_unsupported"),
        ("shape", "weights_mismatch"),
        ("nan", "not_finite"),
        ("lacking", "weights_mismatch"),
        ("rank", "config_invalid"),
        ("large", "adapter_too_large"),
        ("expert", "adapter_unsupported"),
        ("cut", "file_corrupt"),
        ("file", "file_missing"),
    ],
)
def test_what_is_no_adapter_is_refused_and_the_host_lives(
    kind: str, code: str, host: HostProcess, models: dict[str, Any], tmp_path: Path
) -> None:
    before = listed(host)
    response = added(host, "chat:bad", damaged(tmp_path / "bad", models["oracle"], kind))

    assert (response.status_code, response.json()["error"]["code"]) == (400, code)
    assert response.json()["error"]["param"] == "path"
    assert listed(host) == before
    assert host.post("/v1/completions", model="chat:clinic", prompt=[5], max_tokens=1).status_code == 200


def test_an_adapter_of_another_base_is_refused(host: HostProcess, tmp_path: Path) -> None:
    other = tiny.dense(tmp_path / "other", hidden_size=64)
    response = added(host, "chat:bad", adapting.write(tmp_path / "a", other, ("q_proj",)))
    assert (response.status_code, response.json()["error"]["code"]) == (400, "weights_mismatch")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "chat:x"}, 400, "invalid_parameter"),
        ({"name": "chat:x", "path": "relative"}, 400, "invalid_parameter"),
        ({"name": "chat:x", "path": "/nowhere"}, 400, "model_missing"),
        ({"name": "chat:x", "path": "/" + "a" * 5000}, 400, "file_unreadable"),
        ({"name": "chat:x", "path": "/nul\0"}, 400, "model_missing"),
        ({"name": "x", "path": "/nowhere"}, 400, "invalid_parameter"),
        ({"name": "nobody:x", "path": "/nowhere"}, 404, "model_not_found"),
        ({"name": "chat:clinic:x", "path": "/nowhere"}, 400, "invalid_parameter"),
        ({"name": "chat:x", "path": "/nowhere", "more": 1}, 400, "unknown_parameter"),
    ],
)
def test_bodies_that_make_no_sense_are_refused(body: dict[str, Any], status: int, code: str, host: HostProcess) -> None:
    response = host.client.post("/adapters", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_host_with_a_damaged_adapter_does_not_start(base: Path, models: dict[str, Any], tmp_path: Path) -> None:
    adapters: Any = {"bad": str(damaged(tmp_path / "bad", models["oracle"], "shape"))}
    entry = {"name": "chat", "path": str(base), "task": "generate", "adapters": adapters}
    process = HostProcess(tmp_path, [entry])
    try:
        status, errors = process.ended(60)
    finally:
        process.close()
    assert status == 2
    assert json.loads(errors.splitlines()[-1])["code"] == "weights_mismatch"
