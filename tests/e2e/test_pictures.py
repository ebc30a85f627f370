"""An SDK shows pictures to an engine that sees, past guards that see: judged, let pass by name, or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from engine import manifest
from tests.e2e.conftest import KEY, Gateway, running, write_config
from tests.e2e.seeing_server import MODEL, SeeingServer
from tests.engine.vision import seeing
from tests.gateway.pictures import GIF, JPEG, encoded, encoded_png, moving_gif, shown, url
from tests.guards.generative.seeing_guard import USE, seeing_guard

HEAD = """\
gatehouse: policy/v1
name: NAME
version: 1.0.0
owner: tests@gatehouse.example
defaults: {stream: {mode: buffer}, limits: {images: 4}}
"""
PASS = "  - {id: pass, on: [system, user, history, output, reasoning], do: allow}\n"
JUDGED = """\
detectors:
  harm: {use: llama_guard_4, threshold: THRESHOLD, timeout: 30s}
rules:
  - {id: pictures, on: [image], when: {harm: {unsafe: true}}, do: {block: {code: unsafe_picture}}}
"""
TEXTS = """\
detectors: {hidden: {use: unicode, find: [tags]}}
rules:
  - {id: hidden, on: [user], when: {hidden: {count: {gte: 1}}}, do: {block: {code: forged_markup}}}
"""
FAR = """\
detectors:
  harm: {use: far_eyes, threshold: 0.5, timeout: 30s, memory: off}
rules:
  - {id: unsafe, on: [user, image], when: {harm: {unsafe: true}}, do: {block: {code: unsafe_content}}}
"""
POLICIES = {
    "far": HEAD + FAR + PASS,
    "judged": HEAD + JUDGED.replace("THRESHOLD", "1") + PASS,
    "strict": HEAD + JUDGED.replace("THRESHOLD", "0.000001") + PASS,
    "named": HEAD + TEXTS + "  - {id: pictures-pass, on: [image], do: allow}\n" + PASS,
    "closed": HEAD + TEXTS + PASS,
}


def digest(tenant: str) -> str:
    return hashlib.sha256(f"{KEY}-{tenant}".encode()).hexdigest()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guard and an engine that see."""
    models = tmp_path_factory.mktemp("models")
    seeing.llama4(models / "eyes")
    seeing_guard(models / "guard")
    (models / "guard" / manifest.NAME).unlink()
    return models


@pytest.fixture(scope="module")
def far(models: Path) -> Iterator[SeeingServer]:
    """The same guard on a server."""
    with SeeingServer(models / "guard") as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def site(models: Path, far: SeeingServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway; what is allowed depends on whose key it is."""
    directory = tmp_path_factory.mktemp("site")
    manifest.write(models / "guard", USE, "Apache-2.0", USE)
    manifest.write(models / "eyes", "eyes", "Apache-2.0")
    for name, policy in POLICIES.items():
        (directory / f"{name}.yaml").write_text(policy.replace("NAME", name))
    config = write_config(directory, policy="judged.yaml", engine=f"{{path: '{models / 'eyes'}'}}")
    keys = ", ".join(f"{{id: {one}, tenant: {one}, app: a, sha256: {digest(one)}}}" for one in POLICIES)
    lines = [f"keys: [{keys}]" if line.startswith("keys:") else line for line in config.read_text().splitlines()]
    bound = ", ".join(f"{{policy: {one}.yaml, tenant: {one}}}" for one in ("strict", "named", "closed", "far"))
    guard = models / "guard"
    eyes = f"far_eyes: {{profile: {USE}, path: '{guard}', url: '{far.url}', model: {MODEL}}}"
    more = [f"policies: [{bound}]", f"guards: {{{USE}: {{path: '{guard}'}}, {eyes}}}"]
    config.write_text("\n".join([*lines, *more, ""]))
    with running(directory, config) as gateway:
        yield gateway


def asked(site: Gateway, tenant: str, *parts: Any) -> openai.types.chat.ChatCompletion:
    content = [{"type": "text", "text": "what is this?"}, *parts]
    with openai.OpenAI(base_url=site.api + "/v1", api_key=f"{KEY}-{tenant}", max_retries=0, timeout=60) as sdk:
        answer = sdk.chat.completions.create(
            model="eyes",
            messages=[{"role": "user", "content": content}],
            max_tokens=4,  # type: ignore[misc, list-item]
        )
    assert isinstance(answer, openai.types.chat.ChatCompletion)
    return answer


def refused(site: Gateway, tenant: str, *parts: Any) -> dict[str, Any]:
    with pytest.raises(openai.BadRequestError) as caught:
        asked(site, tenant, *parts)
    assert isinstance(caught.value.body, dict)
    return caught.value.body


def last_record(site: Gateway, type_: str) -> dict[str, Any]:
    lines = [line for path in sorted(site.audit_dir.rglob("*.jsonl")) for line in path.read_text().splitlines()]
    return [record for record in map(json.loads, lines) if record["type"] == type_][-1]


def test_a_named_rule_lets_a_picture_pass_and_the_log_says_so(site: Gateway) -> None:
    picture = shown(encoded(seeing.noise(40, 24), "PNG"))
    answer = asked(site, "named", picture)
    assert answer.usage is not None
    small = asked(site, "named", shown(encoded(seeing.noise(40, 24), "PNG"), detail="low"))
    assert small.usage is not None
    assert answer.usage.prompt_tokens - small.usage.prompt_tokens == 6 * (seeing.PATCHES + 1)
    record = last_record(site, "request.admit")
    assert record["coverage"]["scopes"]["image"] == 1
    assert record["coverage"]["parts_exempt"] >= 1
    (row,) = record["images"]
    assert (row["part"], row["bytes"] > 100) == ("/messages/0/content/1/image_url/url", True)
    logged = b"".join(path.read_bytes() for path in site.audit_dir.rglob("*") if path.is_file())
    assert picture["image_url"]["url"][60:100].encode() not in logged


def test_without_a_rule_a_picture_is_refused(site: Gateway) -> None:
    error = refused(site, "closed", shown(encoded_png(20, 20)))
    assert error["code"] == "content_filter"
    assert error["gatehouse"]["code"] == "uncovered_part"
    assert last_record(site, "request.refuse")["coverage"]["uncovered_n"] == 1
    assert asked(site, "closed").choices


def test_a_guard_that_sees_decides(site: Gateway) -> None:
    pictures = [shown(encoded(seeing.noise(30, 20, seed), "PNG")) for seed in (1, 2)]
    assert asked(site, "judged", *pictures).choices
    guards = {guard["name"]: guard for guard in last_record(site, "request.admit")["guards"]}
    scores = {row["score_ppm"] for row in guards["harm"]["rows"]}
    assert guards["harm"]["parts"] == 2
    assert len(scores) == 2, "two pictures, two scores"
    assert refused(site, "strict", *pictures)["gatehouse"]["code"] == "unsafe_picture"


def test_a_guard_on_a_server_is_shown_the_very_bytes_that_the_engine_gets(site: Gateway, far: SeeingServer) -> None:
    blue, red = (shown(encoded(Image.new("RGB", (60, 40), colour), "PNG")) for colour in ("blue", "red"))
    assert asked(site, "far", blue).choices
    record = last_record(site, "request.admit")
    (guard,) = record["guards"]
    assert (guard["use"], guard["profile"], guard["model"]) == ("far_eyes", USE, MODEL)
    assert {"user", "image"} <= set(guard["scopes"])
    assert record["images"][0]["bytes"] == len(far.pictures[-1]), "packed anew, and nothing else was judged"
    assert refused(site, "far", blue, red)["gatehouse"]["code"] == "unsafe_content"
    (guard,) = last_record(site, "request.refuse")["guards"]
    over = {row["part"] for row in guard["rows"] if row["score_ppm"] >= 500_000}
    assert over == {"/messages/0/content/2/image_url/url"}
    assert refused(site, "far", {"type": "text", "text": "hit him"}, blue)["gatehouse"]["rules"] == ["unsafe"]


def test_a_server_that_does_not_look_at_pictures_stops_the_exchange(site: Gateway, far: SeeingServer) -> None:
    far.sees = False
    try:
        with pytest.raises(openai.InternalServerError) as caught:
            asked(site, "far", shown(encoded(Image.new("RGB", (50, 40), "red"), "PNG")))
    finally:
        far.sees = True
    assert (caught.value.status_code, caught.value.code) == (503, "guard_unavailable")
    assert last_record(site, "request.refuse")["decision"]["errors"] == [{"detector": "harm", "kind": "bad_answer"}]
    assert asked(site, "far").choices, "texts are judged as before"


def test_a_video_is_judged_frame_by_frame(site: Gateway) -> None:
    video = {"type": "video_url", "video_url": {"url": url(moving_gif(25), GIF)}}
    assert asked(site, "judged", video).choices
    assert last_record(site, "request.admit")["coverage"]["scopes"]["image"] == 3


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (shown(encoded(Image.new("RGB", (90, 90)), "JPEG")[:300], JPEG), "image_broken"),
        (shown(encoded_png(65, 1)), "image_size"),
        (shown(encoded_png(8, 8), JPEG), "image_type"),
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "invalid_value"),
    ],
)
def test_a_bad_picture_is_refused_by_its_field_and_recorded(site: Gateway, part: dict[str, Any], code: str) -> None:
    error = refused(site, "named", part)
    assert (error["code"], error["param"]) == (code, "messages[0].content[1].image_url.url")
    assert last_record(site, "request.refuse")["err"]["code"] == code
    assert asked(site, "named").choices


def test_more_pictures_than_the_policy_admits(site: Gateway) -> None:
    assert refused(site, "named", *[shown(encoded_png(8, 8))] * 5)["code"] == "limit_images"
