"""The real process is shown pictures: what it says is what transformers' model says, and nothing hurts it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from engine.tokens import TextTokenizer
from engine.vision.prompt import PictureFormat
from engine.vision.tiles import cut
from tests.engine import tiny
from tests.engine.host_process import HostProcess
from tests.engine.vision import seeing
from tests.engine.vision.seeing import encoded, noise, url
from tests.engine.vision.test_frames import moving

CHAT, COMPLETE = "/v1/chat/completions", "/v1/completions"


class Seeing:
    """The process, and transformers' model of the same checkpoint."""

    def __init__(self, process: HostProcess, oracle: Any, directory: Path) -> None:
        self.process, self.oracle = process, oracle
        self.tokenizer = TextTokenizer.from_file(directory / "tokenizer.json")

    def chat(self, *parts: Any, **options: Any) -> httpx.Response:
        messages = [{"role": "user", "content": list(parts)}]
        return self.process.post(CHAT, model="eyes", messages=messages, temperature=0, **options)

    def complete(self, **body: Any) -> httpx.Response:
        return self.process.post(COMPLETE, **{"model": "eyes", "temperature": 0, "max_tokens": 4, **body})

    def wait_until_idle(self) -> None:
        """An answer is told a moment before its blocks are given back."""
        end = time.monotonic() + 5
        while 'engine_kv_blocks_held{model="eyes"} 0.0' not in self.process.client.get("/metrics").text:
            assert time.monotonic() < end, "blocks are held by nobody"
            time.sleep(0.01)

    def expected(self, prompt: list[int], image: Any, count: int) -> list[int]:
        """The most probable tokens after a prompt with one picture, by full passes."""
        patch = self.oracle.config.image_token_index
        ids = [patch if token < 0 else token for token in prompt]
        pixels = (cut(image, seeing.SIDE).tiles.float() / 255 - 0.5) / 0.5
        for _ in range(count):
            with torch.inference_mode():
                logits = self.oracle(input_ids=torch.tensor([ids]), pixel_values=pixels, use_cache=False).logits
            ids.append(int(logits[0, -1].argmax()))
        return ids[len(prompt) :]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeing]:
    directory, reads = tmp_path_factory.mktemp("eyes"), tmp_path_factory.mktemp("reads")
    oracle = seeing.llama4(directory)
    tiny.llama4(reads)
    models = [
        {"name": name, "path": str(path), "task": "generate"} for name, path in (("eyes", directory), ("reads", reads))
    ]
    process = HostProcess(tmp_path_factory.mktemp("s"), models)
    try:
        process.wait_until(200)
        yield Seeing(process, oracle, directory)
    finally:
        process.close()


def shown(image: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url(encoded(image)), **more}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def test_models_say_whether_they_see(seen: Seeing) -> None:
    listed = seen.process.client.get("/v1/models").json()["data"]
    assert {entry["id"]: entry["images"] for entry in listed} == {"eyes": True, "reads": False}


def test_ids_with_a_picture_between_them(seen: Seeing) -> None:
    image = noise(40, 24)
    before, after = seen.tokenizer.content("look: "), seen.tokenizer.content("what is it?")
    ids, _ = PictureFormat(seen.tokenizer, seeing.PATCHES).place(cut(image, seeing.SIDE))
    body = {"prompt": before + after, "images": [{"at": len(before), "url": url(encoded(image))}]}
    options = {"logprobs": 0, "return_tokens_as_token_ids": True, "ignore_eos": True}
    answer = seen.complete(**body, **options).json()
    names = [f"token_id:{token}" for token in seen.expected([*before, *ids, *after], image, 4)]
    assert answer["choices"][0]["logprobs"]["tokens"] == names
    assert answer["usage"]["prompt_tokens"] == len(before) + len(ids) + len(after)
    again = seen.complete(**body, **options).json()
    assert again["choices"][0]["text"] == answer["choices"][0]["text"]
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == answer["usage"]["prompt_tokens"] - 1
    other = seen.complete(
        **{**body, "images": [{"at": len(before), "url": url(encoded(noise(40, 24, 2)))}]}, **options
    ).json()
    assert other["usage"]["prompt_tokens_details"]["cached_tokens"] == len(before) + 1


def test_several_prompts_share_a_picture(seen: Seeing) -> None:
    image, ids = noise(20, 20), seen.tokenizer.content("is this safe")
    body = {"images": [{"at": 3, "url": url(encoded(image))}], "logprob_token_ids": [40, 50]}
    both = seen.complete(**{**body, "prompt": [ids, [*ids, 60]], "max_tokens": 1}).json()["choices"]
    each = [seen.complete(**{**body, "prompt": one, "max_tokens": 1}).json()["choices"][0] for one in (ids, [*ids, 60])]
    for one, alone in zip(both, each, strict=True):
        assert one["logprobs"]["top_logprobs"][0] == pytest.approx(alone["logprobs"]["top_logprobs"][0], abs=1e-4)


def test_a_chat_with_pictures(seen: Seeing) -> None:
    wide = seen.chat(text("look: "), shown(noise(40, 24)), text(" and "), shown(noise(9, 9)), max_tokens=5)
    assert wide.status_code == 200
    low = seen.chat(text("look: "), shown(noise(40, 24), detail="low"), text(" and "), shown(noise(9, 9)), max_tokens=5)
    tiles = 6
    saved = wide.json()["usage"]["prompt_tokens"] - low.json()["usage"]["prompt_tokens"]
    assert saved == tiles * seeing.PATCHES + tiles
    streamed = seen.chat(text("look: "), shown(noise(40, 24)), max_tokens=3, stream=True)
    assert streamed.text.endswith("data: [DONE]\n\n")


def test_a_video_is_read_as_its_frames(seen: Seeing) -> None:
    video = {"type": "video_url", "video_url": {"url": url(moving(25, 100), "image/gif")}}
    answer = seen.chat(text("what happens?"), video, max_tokens=2)
    assert answer.status_code == 200
    assert answer.json()["usage"]["prompt_tokens"] > 3 * (seeing.PATCHES + 3)


def test_words_for_control_tokens_are_words_beside_a_picture(seen: Seeing) -> None:
    said = "<|image_start|><|image|><|patch|><|image_end|>"
    with_words = seen.chat(text(said), shown(noise(9, 9)), max_tokens=2)
    assert with_words.status_code == 200
    plain = seen.chat(shown(noise(9, 9)), max_tokens=2).json()["usage"]["prompt_tokens"]
    assert with_words.json()["usage"]["prompt_tokens"] - plain >= len(said) / 4


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (shown(noise(65, 1)), "image_size"),
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "image_url"),
        ({"type": "image_url", "image_url": {"url": url(b"GIF89a")}}, "image_type"),
        ({"type": "image_url", "image_url": {"url": url(encoded(noise(50, 50))[:500])}}, "image_broken"),
        ({"type": "video_url", "video_url": {"url": url(moving(20, 500)[:700], "image/gif")}}, "image_broken"),
        ({"type": "image_url", "image_url": {"url": url(encoded(noise(8, 8))), "detail": 3}}, "invalid_parameter"),
    ],
)
def test_a_bad_picture_is_a_400_that_names_its_field_and_holds_nothing(seen: Seeing, part: Any, code: str) -> None:
    refused = seen.chat(text("look"), part, max_tokens=2)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, code)
    assert error["param"].startswith("messages[0].content[1].")
    assert seen.chat(text("hello"), max_tokens=1).status_code == 200
    seen.wait_until_idle()


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"images": [{"at": 99, "url": ""}]}, "images[0].at"),
        ({"images": [{"at": 1, "url": "file:///x"}]}, "images[0].url"),
        ({"images": [{"at": 1, "url": url(encoded(noise(4, 4))), "more": 1}]}, "images[0].more"),
        ({"images": [5]}, "images"),
        ({"images": 5}, "images"),
        ({"prompt": "text", "images": [{"at": 0, "url": url(encoded(noise(4, 4)))}]}, "images"),
        ({"echo": True, "images": [{"at": 0, "url": url(encoded(noise(4, 4)))}]}, "echo"),
        ({"images": [{"at": at, "url": url(encoded(noise(4, 4)))} for at in (2, 1)]}, "images"),
        ({"images": [{"at": 0, "url": url(encoded(noise(4, 4)))}] * 33}, "images[32].url"),
        ({"prompt": [-5, 4]}, "prompt"),
    ],
)
def test_bad_images_of_completions(seen: Seeing, changed: dict[str, Any], param: str) -> None:
    refused = seen.complete(**{"prompt": [5, 6, 7], **changed})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_model_that_reads_only_refuses_pictures_and_only_users_show_them(seen: Seeing) -> None:
    messages = [{"role": "user", "content": [shown(noise(4, 4))]}]
    refused = seen.process.post(CHAT, model="reads", messages=messages)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "images_unsupported")
    said = [{"role": "assistant", "content": [shown(noise(4, 4))]}, {"role": "user", "content": "x"}]
    assert seen.process.post(CHAT, model="eyes", messages=said).json()["error"]["param"] == "messages[0].content"


def test_pictures_that_make_more_tokens_than_the_model_has(seen: Seeing) -> None:
    refused = seen.chat(*[shown(noise(64, 64))] * 20, max_tokens=1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
