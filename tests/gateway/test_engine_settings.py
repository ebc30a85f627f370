"""`engine:` and `engines:`: either form, every mistake at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.engine_settings import STARTER_MODEL, Engines, read_engines, starter_engine
from gateway.local_model import LocalModel
from policies.errors import FileErrors, Problems
from policies.fields import Section
from policies.yaml_strict import parse


def read(tmp_path: Path, text: str) -> tuple[Engines, list[str]]:
    problems = Problems()
    node = parse(text.encode(), "g.yaml", problems)
    top = Section.open(node, "the configuration", problems, ("engine", "engines", "x"))
    assert top is not None
    engines = read_engines(top, tmp_path, problems)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return engines, [str(problem) for problem in exc.problems]
    return engines, []


def test_several_engines_by_name_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "tok").mkdir()
    (tmp_path / "key").write_text("sk-cloud\n")
    engines, told = read(
        tmp_path,
        """
engines:
  house: {starter: true, adapters: {clinic: ad}, class: ward}
  rack: {url: "http://127.0.0.1:8000", tokenizer: tok}
  cloud: {url: "https://llm.example/v1", models: {big: org/Big}, api_key_file: key, class: partner, total_timeout: 5s}
""",
    )
    assert told == []
    house, rack, cloud = engines
    assert [one.name for one in engines] == ["house", "rack", "cloud"]
    assert [one.class_ for one in engines] == ["ward", "local", "partner"]
    assert house.local == LocalModel(
        STARTER_MODEL, starter_engine(), device="cpu", adapters=(("clinic", tmp_path / "ad"),)
    )
    assert house.tokenizer == starter_engine()
    assert [name for name, _ in house.models] == [STARTER_MODEL, f"{STARTER_MODEL}:clinic"]
    assert (rack.base_url, rack.models, rack.tokenizer) == ("http://127.0.0.1:8000/v1", (), tmp_path / "tok")
    assert (cloud.models, cloud.api_key, cloud.total_s) == ((("big", "org/Big"),), "sk-cloud", 5)
    assert "sk-cloud" not in repr(cloud)


def test_a_checkpoint_of_the_sites_own(tmp_path: Path) -> None:
    (engine,), told = read(tmp_path, "engine: {path: models/scout, adapters: {ward: w}, kv: 8GiB, kv_precision: int8}")
    assert told == []
    assert (engine.name, engine.class_) == ("engine", "local")
    assert [name for name, _ in engine.models] == ["scout", "scout:ward"]
    assert engine.local is not None
    assert engine.local.as_host_model() == {
        "name": "scout",
        "path": str(tmp_path / "models/scout"),
        "task": "generate",
        "kv_bytes": 8 * 1024**3,
        "kv_precision": "int8",
        "adapters": {"ward": str(tmp_path / "w")},
    }
    text = "engine: {path: '/m x', model: llama-4, precision: int4, device: cuda, name: house, processes: 2}"
    (engine,), told = read(tmp_path, text)
    assert (told, engine.name, engine.models) == ([], "house", (("llama-4", "llama-4"),))
    assert engine.local is not None
    assert engine.local.as_host_model() == {
        "name": "llama-4", "path": "/m x", "task": "generate", "precision": "int4", "device": "cuda",
        "processes": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x: 1", "`engine` is missing"),
        ("engine: {starter: true}\nengines: {a: {starter: true}}", "there is an `engine` and there are `engines`"),
        ("engines: {}", "`engines` has 0 entries, expected 1 to 32"),
        ("engines: [a]", "`engines`"),
        ("engines: {a: {}}", "engine `a` has one of `starter: true`, `path` and `url`"),
        ("engine: {path: m, url: 'http://a'}", "`engine` has one of `starter: true`, `path` and `url`"),
        ("engine: {path: m, starter: true}", "`engine` has one of `starter: true`, `path` and `url`"),
        ("engine: {path: m, total_timeout: 3s}", "`total_timeout` has no meaning: the model host runs it"),
        ("engine: {path: m, models: {a: b}}", "`models` has no meaning: the model host runs it"),
        ("engine: {path: m, precision: int2}", "`precision`"),
        ("engine: {path: m, device: tpu}", "`device`"),
        ("engine: {path: m, kv: 1KiB}", "`kv`"),
        ("engine: {path: m, kv_precision: fp4}", "`kv_precision`"),
        ("engine: {path: m, offload: layers}", "`offload`"),
        ("engine: {path: m, processes: 0}", "`processes`"),
        ("engine: {path: 'a b'}", "`path` without `model`"),
        ("engine: {path: m, model: 'a:b'}", "`model`"),
        ("engine: {starter: true, precision: int8}", "`precision` has no meaning: the starter engine has its own"),
        ("engine: {url: 'http://a', kv: 1GiB}", "`kv` has no meaning: the server at `url` decides it"),
        ("engines: {a: {path: m}, b: {path: x/m}}", "model `m` is served by the engines `a` and `b`"),
        ("engines: {a: {starter: true, name: b}}", "unknown key `name`"),
        ("engines: {a b: {starter: true}}", "1 to 64 letters"),
        (
            "engines: {a: {starter: true}, b: {starter: true}}",
            "model `gatehouse-starter` is served by the engines `a` and `b`",
        ),
        ("engine: {starter: true, first_byte_timeout: 3s}", "`first_byte_timeout` has no meaning"),
        ("engine: {starter: true, models: {a: b}}", "`models` has no meaning"),
        ("engine: {url: 'http://a', tokenizer: nowhere}", "`tokenizer` is `nowhere`, which is not a directory"),
        ("engine: {url: 'http://a', adapters: {a: b}}", "`adapters` has no meaning"),
        (
            "engines: {a: {url: 'http://a', models: {m: x}}, b: {url: 'http://b', models: {m: y}}}",
            "g.yaml:1:49: model `m` is served by the engines `a` and `b`",
        ),
    ],
)
def test_what_cannot_be_is_told_at_its_place(tmp_path: Path, text: str, told: str) -> None:
    found = read(tmp_path, text)[1]
    assert any(told in one for one in found), found
