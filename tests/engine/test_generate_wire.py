"""OpenAI's fields are honoured or refused by name; none is ignored in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import BadRequest
from engine.generate_wire import Asked, parse_chat, parse_completion
from engine.generator import Generator, Options, load_generator
from engine.wire import Fields
from tests.engine import tiny

USER = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    directory: Path = tiny.llama4(tmp_path_factory.mktemp("m"))
    return load_generator(directory, Options(kv_bytes=10_000_000))


def chat(model: Generator, **body: Any) -> Asked:
    return parse_chat(Fields({"messages": USER, **body, "model": "m"}, ""), model)


def completion(model: Generator, **body: Any) -> Asked:
    fields = Fields({"prompt": [1, 2], "model": "m", **body})
    return parse_completion(fields, model)


def refused(parse: Any, model: Generator, **body: Any) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        parse(model, **body)
    return caught.value.code, caught.value.param


def test_options_arrive(model: Generator) -> None:
    asked = chat(
        model,
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=-4,
        stop="x",
        logprobs=True,
        top_logprobs=3,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
        user="u",
        metadata={"a": "b"},
        reasoning_effort="none",
        verbosity="medium",
    )
    sampling = asked.request.sampling
    assert (asked.request.max_tokens, asked.request.stops, asked.choices) == (7, ("x",), 2)
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.logprobs) == (0.5, 0.9, 4, 3)
    assert (asked.streams, asked.stream_usage) == (True, True)


@pytest.mark.parametrize(
    ("asked", "drawn"), [(0, 0.0), (5e-324, 0.0), (1e-40, 0.0), (9e-6, 0.0), (1e-5, 1e-5), (2, 2.0)]
)
def test_a_temperature_at_which_scores_would_overflow_is_none(model: Generator, asked: float, drawn: float) -> None:
    assert chat(model, temperature=asked).request.sampling.temperature == drawn


def test_every_seed_of_64_bits_is_one(model: Generator) -> None:
    for seed in (-(2**63), 2**63 - 1):
        assert 0 <= (chat(model, seed=seed).request.sampling.seed or 0) < 2**63
    assert refused(chat, model, seed=2**63)[1] == "seed"


def test_choices_differ_by_seed_only(model: Generator) -> None:
    asked = chat(model, n=2, seed=4)
    assert [asked.request_of(choice).sampling.seed for choice in (0, 1)] == [4, 5]
    assert asked.request_of(1).prompt == asked.request.prompt


def test_an_answer_may_have_what_room_there_is(model: Generator) -> None:
    asked = chat(model)
    assert asked.request.max_tokens + len(asked.request.prompt) == 256
    assert completion(model).request.max_tokens == 16


def test_text_and_ids_are_prompts(model: Generator) -> None:
    assert completion(model).request.prompt == (1, 2)
    ids = completion(model, prompt="<|eot|>").request.prompt
    assert ids[0] == 0
    assert model.tokenizer.special_ids.isdisjoint(ids[1:])


def test_content_parts_and_tool_turns_are_read(model: Generator) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "4", "tool_call_id": "c"},
    ]
    asked = chat(model, messages=messages, tools=[TOOL], tool_choice="auto")
    text = model.tokenizer.text(asked.request.prompt)
    assert "ab" in text
    assert "[f(a=1)]" in text
    assert asked.tools == {"f"}


def test_a_call_without_arguments_may_have_none_at_all(model: Generator) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert "[f()]" in model.tokenizer.text(chat(model, messages=messages).request.prompt)


def test_tools_are_not_offered_when_the_caller_says_none(model: Generator) -> None:
    asked = chat(model, tools=[TOOL], tool_choice="none")
    assert asked.tools == frozenset()
    assert asked.request.prompt == chat(model).request.prompt


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": 4}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": "hi"}, "messages"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"frequency_penalty": 2.5}, "frequency_penalty"),
        ({"presence_penalty": "x"}, "presence_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"logit_bias": {"320": 1}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"max_tokens": 4, "min_tokens": 5}, "min_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"functions": []}, "functions"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"verbosity": "low"}, "verbosity"),
        ({"max_tokens": 999}, "max_tokens"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(model: Generator, body: dict[str, Any], param: str) -> None:
    code, found = refused(chat, model, **body)
    assert found == param
    assert code in ("invalid_parameter", "unsupported_parameter", "unknown_parameter", "context_length_exceeded")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", [1]]}, "prompt"),
        ({"prompt": ["a", 2]}, "prompt"),
        ({"prompt": ["a"], "images": [{"at": 0, "url": ""}]}, "images"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [320]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"echo": "yes"}, "echo"),
        ({"n": 9}, "n"),
        ({"n": 2, "best_of": 3}, "best_of"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"best_of": 3}, "best_of"),
        ({"prompt": [[1], []]}, "prompt"),
        ({"prompt": [[1], 2]}, "prompt"),
        ({"prompt": [[1], [320]]}, "prompt"),
        ({"prompt": [[1]] * 65}, "prompt"),
        ({"prompt": [[1], [2] * 256], "max_tokens": 1}, "max_tokens"),
        ({"prompt": [[1]] * 33, "n": 4}, "n"),
        ({"prompt": [[1], [2]], "n": 2, "best_of": 3}, "best_of"),
        ({"logprob_token_ids": [5, 5]}, "logprob_token_ids"),
        ({"logprob_token_ids": []}, "logprob_token_ids"),
        ({"logprob_token_ids": [320]}, "logprob_token_ids"),
        ({"logprob_token_ids": list(range(65))}, "logprob_token_ids"),
        ({"logprob_token_ids": "5"}, "logprob_token_ids"),
        ({"priority": 1.5}, "priority"),
        ({"priority": 1001}, "priority"),
        ({"cache_salt": ""}, "cache_salt"),
        ({"cache_salt": 4}, "cache_salt"),
    ],
)
def test_completions_refuse_by_name_too(model: Generator, body: dict[str, Any], param: str) -> None:
    assert refused(completion, model, **body)[1] == param


def test_several_prompts_are_several_choices(model: Generator) -> None:
    asked = completion(model, prompt=[[1, 2], [3, 4, 5]], max_tokens=1, logprob_token_ids=[7, 9], priority=-1)

    assert asked.choices == 2
    assert [asked.request_of(choice).prompt for choice in (0, 1)] == [(1, 2), (3, 4, 5)]
    assert asked.prompt_tokens == 5
    assert asked.request.priority == -1
    assert (asked.request.sampling.reported, asked.request.sampling.logprobs) == ((7, 9), 0)


def test_several_prompts_have_several_choices_each_and_are_echoed(model: Generator) -> None:
    asked = completion(model, prompt=["hi", "you", ""], n=2, seed=5, echo=True, stream=True, max_tokens=0, logprobs=1)

    of = [asked.request_of(choice) for choice in range(asked.choices)]
    assert [one.echo for one in of] == ["hi", "hi", "you", "you", "", ""]
    assert [one.sampling.seed for one in of] == [5, 6] * 3
    assert [one.prompt for one in of[::2]] == [
        completion(model, prompt=text).request.prompt for text in ("hi", "you", "")
    ]
    assert asked.prompt_tokens == sum(len(one.prompt) for one in of[::2])
    assert (asked.streams, asked.request.max_tokens) == (True, 0)
    ids = completion(model, prompt=[[9, 10], [11]], echo=True)
    assert [ids.request_of(choice).echo for choice in (0, 1)] == [
        model.tokenizer.text([9, 10]),
        model.tokenizer.text([11]),
    ]
    assert completion(model, prompt=["hi"]).request.prompt == completion(model, prompt="hi").request.prompt


def test_what_an_assistant_refused_with_is_what_it_said(model: Generator) -> None:
    def said(**turn: Any) -> tuple[int, ...]:
        return chat(model, messages=[*USER, {"role": "assistant", **turn}, *USER]).request.prompt

    expected = said(content="no")
    assert said(content=None, refusal="no") == expected
    assert said(content=[{"type": "refusal", "refusal": "no"}]) == expected
    assert said(content="no", refusal=None, reasoning_content="because", reasoning="why") == expected
    assert (
        refused(chat, model, messages=[{"role": "user", "content": None, "refusal": "no"}])[1] == "messages[0].content"
    )


def test_a_salt_and_less_time_reach_every_choice(model: Generator) -> None:
    asked = completion(model, prompt=[[1], [2]], max_tokens=1, cache_salt="a")
    late = asked.within(1.0).request_of(1)

    assert late.salt == "a"
    assert late.deadline < asked.request.deadline
    assert asked.within(1e6) == asked


def test_neutral_values_of_options_that_are_not_there_are_accepted(model: Generator) -> None:
    chat(model, frequency_penalty=0, presence_penalty=0.0, logit_bias={}, response_format={"type": "text"}, store=False)
    completion(model, echo=False, suffix="", best_of=1, n=1)


def test_no_refusal_quotes_the_text(model: Generator) -> None:
    secret = "xyzzy"
    for body in ({"messages": [{"role": "user", "content": {"a": secret}}]}, {"stop": [secret * 200]}):
        with pytest.raises(BadRequest) as caught:
            chat(model, **body)
        assert secret not in json.dumps([caught.value.problem, caught.value.param])
