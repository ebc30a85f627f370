"""Small stand-ins for a guard's tokenizer, checkpoint and server: real code paths, no weights.

The tokenizer is of the kind Llama 3 and 4 use (byte-level, split by the same kind of pattern, a word of the vocabulary
is one token), so words of the answer are single tokens and everything else is bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from guards.generative.template import GuardTemplate
from guards.profiles.generative import Content, GenerativeProfile
from guards.profiles.known import PROFILES
from guards.registry import ModelSource
from tests.doubles import write_manifest

TEMPLATES = Path(__file__).parents[2] / "data" / "guard_templates"
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
LLAMA3 = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"),
    "<|python_tag|>",
)
LLAMA4 = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>"),
    "<|python_start|>",
)
OTHER = (
    *("<s>", "</s>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<|start_of_role|>", "<|end_of_role|>"),
    *("<|end_of_text|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "[INST]", "[/INST]"),
)
_VERDICTS = ("safe", "unsafe", " safe", " unsafe", "Yes", "No", " yes", " no", " Safe", " Unsafe", " Controversial")
_LISTS = ("\n\n", "\n", "S", ",S", "O", ",O", "X", ",X", *map(str, range(1, 32)))
WORDS = (*_VERDICTS, *_LISTS, " true", " false", "bomb", " bomb", "user", "assistant")


def specials_of(use: str) -> tuple[str, ...]:
    return LLAMA4 if use == "llama_guard_4" else LLAMA3 if use.startswith(("llama_guard_2", "llama_guard_3")) else OTHER


def tokenizer_of(specials: Sequence[str], without: Sequence[str] = ()) -> Tokenizer:
    """Bytes first, then words, then control tokens. `without` leaves words out of the vocabulary."""
    spelled = {_spell(word) for word in WORDS if word not in without}
    vocabulary = {letter: id_ for id_, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for word in sorted(spelled):
        vocabulary.setdefault(word, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    return tokenizer


def _spell(word: str) -> str:
    """A word in the letters that byte-level vocabularies write bytes with."""
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return str(pre.pre_tokenize_str(word)[0][0])


def template_of(use: str) -> str:
    """The same for 1B and 11B."""
    return (TEMPLATES / f"{use.replace('11b_vision', '1b')}.jinja").read_text()


def write_guard(directory: Path, use: str, template: str | None = None, **changed: Any) -> Path:
    """A checkpoint's small files, with a true manifest. `changed` overrides entries of config.json."""
    profile = profile_of(use)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(specials_of(use))
    config = {
        "architectures": [profile.architecture or "AnyForCausalLM"],
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 131_072,
        **changed,
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text(tokenizer.to_str())
    (directory / "tokenizer_config.json").write_text(json.dumps({"bos_token": profile.bos or None}))
    (directory / "chat_template.jinja").write_text(template_of(use) if template is None else template)
    write_manifest(directory)
    return directory


def profile_of(use: str) -> GenerativeProfile:
    profile = PROFILES[use]
    assert isinstance(profile, GenerativeProfile)
    return profile


Think = Callable[[str], Mapping[str, float]]
"""Text so far, control tokens written out -> probabilities of what comes next, by the token's text."""


class CompletionsHost:
    """A model server whose model is a function from text to what comes next."""

    def __init__(self, directory: Path, think: Think, model: str = "m", is_ours: bool = True) -> None:
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.directory, self.think, self.model, self.is_ours = directory, think, model, is_ours
        self.weights = write_manifest(directory)
        self.calls: list[dict[str, Any]] = []
        self.change: Callable[[dict[str, Any]], object] = lambda answer: None
        self.status, self.error = 200, None

    @property
    def prompts(self) -> list[str]:
        """Every text that was asked about, in order."""
        return [self.text(ids) for call in self.calls for ids in call["prompt"]]

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    def source(self) -> ModelSource:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return ModelSource(self.directory, client, self.model, weights_required=self.is_ours)

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What a healthy server says: the wire of vLLM, and for ours the two fields of our own."""
        choices = [self._choice(index, ids, question) for index, ids in enumerate(question["prompt"])]
        read = sum(map(len, question["prompt"]))
        usage = {"prompt_tokens": read, "total_tokens": read + len(choices), "completion_tokens": len(choices)}
        ours = {"weights": self.weights} if self.is_ours else {}
        named = {"id": "cmpl-1", "object": "text_completion", "model": self.model}
        return {**named, "choices": choices, "usage": usage, **ours}

    def _choice(self, index: int, ids: Sequence[int], question: Mapping[str, Any]) -> dict[str, Any]:
        by_id = {self.id_of(word): share for word, share in self.think(self.text(ids)).items()}
        best = max(by_id, key=lambda id_: by_id[id_])
        text = self.text([best])
        if question["max_tokens"] > 1:
            return {"index": index, "text": self.written(ids), "logprobs": None, "finish_reason": "stop"}
        asked = question.get("logprob_token_ids")
        told = dict(sorted(by_id.items(), key=lambda pair: -pair[1])[: question["logprobs"]])
        if asked is not None:
            told = {id_: by_id.get(id_, 0.0) for id_ in [*asked, best]}
        top = {f"token_id:{id_}": _log(share) for id_, share in told.items()}
        logprobs = {"tokens": [f"token_id:{best}"], "token_logprobs": [_log(by_id[best])], "top_logprobs": [top]}
        return {"index": index, "text": text, "logprobs": logprobs | {"text_offset": [0]}, "finish_reason": "length"}

    def written(self, ids: Sequence[int]) -> str:
        """The likeliest answer, token by token."""
        text, said = self.text(ids), ""
        for _ in range(40):
            shares = self.think(text + said)
            word = max(shares, key=lambda one: shares[one])
            if word.startswith("<|"):
                return said
            said += word
        return said

    def id_of(self, word: str) -> int:
        found = self.tokenizer.token_to_id(word)
        if found is None:
            (found,) = self.tokenizer.encode(word, add_special_tokens=False).ids
        return int(found)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.error is not None:
            raise self.error
        question = json.loads(request.content)
        assert request.url.path == ("/v1/chat/completions" if "messages" in question else "/v1/completions")
        assert question["model"] == self.model
        self.calls.append(question)
        answer = self.answer(question)
        body = self.change(answer) or answer
        return httpx.Response(self.status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


class ChatHost(CompletionsHost):
    """The same model, as a server that puts the prompt together itself and counts `seen` tokens for a picture."""

    def __init__(self, directory: Path, think: Think, is_ours: bool = False, seen: int = 200) -> None:
        super().__init__(directory, think, is_ours=is_ours)
        self.seen = seen
        source = (directory / "chat_template.jinja").read_text()
        self._template = GuardTemplate("g", source, Content.PARTS, {"bos_token": "<|begin_of_text|>"})

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        messages = question["messages"]
        has_picture = [part["type"] for part in messages[-1]["content"]] == ["image_url", "text"]
        shape = self._template.shape(len(messages), has_picture=has_picture)
        prompt = shape.filled([message["content"][-1]["text"] for message in messages])
        ids = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        places, said = [], ""
        for _ in range(question["max_tokens"]):
            shares = self.think(self.text(ids) + said)
            listed = sorted(shares.items(), key=lambda pair: -pair[1])[: question.get("top_logprobs", 1)]
            top = [{"token": word, "logprob": _log(share), "bytes": None} for word, share in listed]
            places.append({**top[0], "top_logprobs": top})
            if listed[0][0].startswith("<|"):
                break
            said += listed[0][0]
        logprobs = {"content": places} if question.get("logprobs") else None
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "logprobs": logprobs}
        read = len(ids) - 1 + self.seen
        return {"model": self.model, "choices": [{**choice, "finish_reason": "stop"}], "usage": {"prompt_tokens": read}}


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -9999.0


def llama_guard(unsafe: Callable[[str], float], codes: Sequence[str] = ("S9",), end: str = "<|eot_id|>") -> Think:
    """A model that opens with a blank line, and calls a conversation unsafe as `unsafe` says of its text."""

    def think(text: str) -> Mapping[str, float]:
        prompt, _, said = text.rpartition("assistant")
        said = said.partition("|>")[2]
        share = unsafe(prompt)
        verdict = {"unsafe": share * 0.98, "safe": (1 - share) * 0.98}
        if said == "":
            return {"\n\n": 0.9, "unsafe": share * 0.1, "safe": (1 - share) * 0.1}
        if said == "\n\n":
            return {**verdict, "\n": 0.02}
        if said.endswith("safe"):
            return {"\n": 0.97, end: 0.03} if codes and said.endswith("unsafe") else {end: 1.0}
        written = said.strip().split("\n")[-1].split(",")
        if said.endswith("\n"):
            return {"S": 1.0}
        if written[-1] == "S":
            due = codes[len(written) - 1] if len(written) <= len(codes) else "S1"
            others = [f"S{i}" for i in range(1, 15) if f"S{i}" != due and f"S{i}" not in written]
            return {due[1:]: 0.8, **{other[1:]: 0.2 / len(others) for other in others}}
        return {",S": 0.9, end: 0.1} if len(written) < len(codes) else {",S": 0.05, end: 0.95}

    return think


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
