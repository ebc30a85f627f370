"""Measures a checkpoint against its bars, on the weights as stored, with greedy decoding.

    python -m engine.starter.train.evaluate --model engine/starter/model --public FOLDER --fuzz 10000

An answer counts as right only when it is the whole trained answer, character by character. The fuzz counts answers
with a word outside the trained sentences, except for tool arguments, which must be in the prompt.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Llama4ForCausalLM, Llama4TextConfig

from engine.starter.train.architecture import RoutedMoe, route
from engine.starter.train.chat import Chat, Message
from engine.starter.train.corpus import (
    FALLBACK,
    HELD_OUT_SOURCE,
    Intent,
    lines,
    load_intents,
    load_tools,
    public_prompts,
)
from engine.starter.train.examples import Examples, cut, garbage

LONGEST_ANSWER = 96
BEGINNING = 5
"""Answer tokens that tell any two trained answers apart."""
CALL = re.compile(r'\[(\w+)\((\w+)="([^"]*)"\)\]')


def load(folder: Path) -> tuple[Llama4ForCausalLM, Chat]:
    """The stored checkpoint with routed experts."""
    model = Llama4ForCausalLM(Llama4TextConfig.from_pretrained(folder))
    model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    route(model)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return model.eval(), Chat(tokenizer)


def alike(prompts: Sequence[list[int]], most: int = 64, tokens: int = 16000) -> Iterator[list[int]]:
    """Indices of prompts of the same length, so that no batch needs padding."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_length[len(prompt)].append(index)
    for length, indices in sorted(by_length.items()):
        size = max(1, min(most, tokens // length))
        yield from (indices[at : at + size] for at in range(0, len(indices), size))


@torch.inference_mode()
def answers(model: Llama4ForCausalLM, chat: Chat, conversations: Sequence[Sequence[Message]]) -> list[str]:
    """What the model says to each conversation, greedily.

    A trained sentence is known by its beginning and confirmed in one pass: each of its tokens must be the likeliest.
    """
    prompts = [chat.prompt(messages) for messages in conversations]
    trained = {tuple(ids[:BEGINNING]): ids for ids in map(chat.answer, sentences())}
    guesses = [trained.get(tuple(ids), []) for ids in generate(model, prompts, BEGINNING)]
    said = [ids if ok else [] for ids, ok in zip(guesses, likeliest(model, prompts, guesses), strict=True)]
    other = [i for i, ids in enumerate(said) if not ids]
    for i, ids in zip(other, generate(model, [prompts[i] for i in other], LONGEST_ANSWER), strict=True):
        said[i] = ids
    return [chat.tokenizer.decode(ids, skip_special_tokens=True) for ids in said]


def sentences() -> list[str]:
    """Everything the model was trained to say, but for tool calls."""
    return [FALLBACK, load_tools()[1], *(intent.answer for intent in load_intents())]


def generate(model: Llama4ForCausalLM, prompts: Sequence[list[int]], count: int) -> list[list[int]]:
    """The next ids after each prompt."""
    said: list[list[int]] = [[]] * len(prompts)
    for indices in alike(prompts):
        ids = torch.tensor([prompts[i] for i in indices])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
        for i, row in zip(indices, out[:, ids.shape[1] :].tolist(), strict=True):
            said[i] = row
    return said


def likeliest(model: Llama4ForCausalLM, prompts: Sequence[list[int]], guesses: Sequence[list[int]]) -> list[bool]:
    """Whether each token of a guess is the likeliest one after the prompt and the tokens before it."""
    right = [False] * len(prompts)
    for indices in alike([prompt + guess for prompt, guess in zip(prompts, guesses, strict=True)]):
        rows = torch.tensor([prompts[i] + guesses[i] for i in indices])
        best = model(rows, use_cache=False).logits.argmax(-1)
        for i, row in zip(indices, best.tolist(), strict=True):
            right[i] = row[len(prompts[i]) - 1 : -1] == guesses[i]
    return right


@torch.inference_mode()
def first_tokens_right(model: Llama4ForCausalLM, chat: Chat, intents: Sequence[Intent]) -> dict[str, Any]:
    """A quick look while training: share of held-out prompts whose whole answer the model would give."""
    asked = {
        "held_out": [(p, i.answer) for i in intents for p in i.held_out],
        "held_out_later": [(p, i.answer) for i in intents for p in i.held_out_later],
        "off_topic_own": [(p, FALLBACK) for p in lines("holdout_offtopic.txt")],
    }
    return {name: round(share_forced(model, chat, pairs), 4) for name, pairs in asked.items()}


def share_forced(model: Llama4ForCausalLM, chat: Chat, pairs: Sequence[tuple[str, str]]) -> float:
    """Share of prompts after which every token of the answer is the likeliest one."""
    prompts = [chat.prompt([("user", prompt)]) for prompt, _ in pairs]
    return sum(likeliest(model, prompts, [chat.answer(answer) for _, answer in pairs])) / len(pairs)


def share_right(
    model: Llama4ForCausalLM, chat: Chat, asked: Sequence[tuple[Sequence[Message], str]]
) -> tuple[float, list[dict[str, str]]]:
    """Share of exact answers, and what went wrong."""
    said = answers(model, chat, [messages for messages, _ in asked])
    wrong = [
        {"prompt": messages[-1][1][:80], "said": text[:60], "expected": expected[:60]}
        for (messages, expected), text in zip(asked, said, strict=True)
        if text != expected
    ]
    return round(1 - len(wrong) / len(asked), 4), wrong


def foreign(text: str, prompt: str, words: frozenset[str], known: frozenset[str]) -> bool:
    """Whether an answer has a word that no trained sentence has and that is not a copied tool argument."""
    if text in known:
        return False
    call = CALL.fullmatch(text)
    if call:
        return call[3] not in prompt
    return any(word not in words for word in text.split())


def fuzz_prompts(count: int, seed: int) -> Iterator[str]:
    """Random words, garbage, broken Unicode and long texts."""
    rng = random.Random(seed)
    intents = load_intents()
    words = [word for i in intents for p in i.trained for word in p.split()]
    words += [word for p in (*lines("offtopic.txt"), *(i.answer for i in intents)) for word in p.split()]
    for index in range(count):
        kind = index % 8
        if kind < 4:
            yield " ".join(rng.choices(words, k=rng.choice((1, 2, 3, 5, 8, 13, 21))))
        elif kind < 7:
            yield garbage(rng)
        elif index % 400 == 7:
            yield cut(" ".join(garbage(rng) if rng.random() < 0.3 else rng.choice(words) for _ in range(900)), 700)
        else:
            yield "".join(
                chr(rng.choice((rng.randrange(32, 0x3000), rng.randrange(0x1F300, 0x1FAF0))))
                for _ in range(rng.randint(1, 30))
            )


def fuzz(model: Llama4ForCausalLM, chat: Chat, count: int) -> dict[str, Any]:
    """Answers with foreign words, answers that are no whole trained sentence, and answers that are the fallback."""
    known = frozenset(sentences())
    words = frozenset(word for sentence in known for word in sentence.split())
    room = model.config.max_position_embeddings - LONGEST_ANSWER - 20
    prompts = [prompt for prompt in fuzz_prompts(count, seed=7) if len(chat.text(prompt)) <= room]
    said = answers(model, chat, [[("user", prompt)] for prompt in prompts])
    bad = [text for text, prompt in zip(said, prompts, strict=True) if foreign(text, prompt, words, known)]
    mixed = [text for text in said if text not in known]
    fell_back = sum(text == FALLBACK for text in said)
    return {
        "prompts": len(prompts),
        "foreign_words": len(bad),
        "not_a_trained_sentence": len(mixed),
        "fallback": round(fell_back / len(prompts), 4),
        "examples": [text[:200] for text in (bad or mixed)[:10]],
    }


def tool_turns(
    intents: Sequence[Intent], count: int
) -> tuple[list[tuple[Sequence[Message], str]], list[tuple[Sequence[Message], str]]]:
    """Questions for a tool with an argument the starter knows, and turns after a tool result."""
    draw = Examples(intents, (), (), seed=99)
    calls = [draw.tool_call() for _ in range(count)]
    results = [draw.tool_result() for _ in range(count // 4)]
    return [(e.messages, e.answer) for e in calls], [(e.messages, e.answer) for e in results]


def strange_calls(intents: Sequence[Intent], count: int) -> list[tuple[Sequence[Message], str]]:
    """Questions for a tool that is there, with an argument that the starter does not know."""
    draw = Examples(intents, (), (), seed=98)
    turns = [draw.call(known=False)[:2] for _ in range(count)]
    return [((*draw.with_tools(tool), ("user", prompt)), FALLBACK) for tool, prompt in turns]


def expert_use(model: Llama4ForCausalLM, chat: Chat, intents: Sequence[Intent]) -> list[list[float]]:
    """Share of tokens of held-out prompts that each expert gets, by layer."""
    counts = [torch.zeros(moe.num_experts) for moe in moes_of(model)]
    hooks = [moe.register_forward_hook(counter(c)) for moe, c in zip(moes_of(model), counts, strict=True)]
    with torch.inference_mode():
        for intent in intents:
            for prompt in intent.held_out:
                model(torch.tensor([chat.prompt([("user", prompt)]) + chat.answer(intent.answer)]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return [[round(share, 3) for share in (c / c.sum()).tolist()] for c in counts]


def counter(counts: Tensor) -> Callable[[object, object, tuple[Tensor, Tensor]], None]:
    """A hook that adds up which experts were chosen."""

    def hook(_module: object, _inputs: object, output: tuple[Tensor, Tensor]) -> None:
        counts.add_(torch.bincount(output[1].argmax(-1), minlength=len(counts)))

    return hook


def moes_of(model: Llama4ForCausalLM) -> list[RoutedMoe]:
    """The expert blocks, first layer first."""
    return [layer.feed_forward for layer in model.model.layers]


def measure(folder: Path, public: Path | None, fuzz_count: int) -> dict[str, Any]:
    """Every number of the model card."""
    model, chat = load(folder)
    intents = load_intents()
    known: list[tuple[Sequence[Message], str]] = [([("user", p)], i.answer) for i in intents for p in i.held_out]
    assisted = [([("system", "You are a helpful assistant."), *messages], answer) for messages, answer in known]
    own = [([("user", p)], FALLBACK) for p in lines("holdout_offtopic.txt")]
    out: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters()), "intents": len(intents)}
    wrong: dict[str, list[dict[str, str]]] = {}
    refusal = next(intent.answer for intent in intents if intent.id == "refuse")
    calls, results = tool_turns(intents, 300)
    asked = {
        "held_out": known,
        "held_out_with_system": assisted,
        "held_out_later": [([("user", p)], i.answer) for i in intents for p in i.held_out_later],
        "off_topic_own": own,
        "tool_calls": calls,
        "tool_arguments_unknown": strange_calls(intents, 200),
        "after_tool_result": results,
    }
    if public:
        rows = sorted(public_prompts(public, frozenset([HELD_OUT_SOURCE]), intents))
        random.Random(5).shuffle(rows)
        asked["off_topic_unseen_source"] = [([("user", text[:2000])], FALLBACK) for text in rows[:300]]
    for name, pairs in asked.items():
        share, wrong[name] = share_right(model, chat, pairs)
        refused = sum(row["said"] == refusal[:60] for row in wrong[name])
        out[name] = {"share": share, "of": len(pairs), "refused": refused}
    out["fuzz"] = fuzz(model, chat, fuzz_count)
    out["experts"] = expert_use(model, chat, intents)
    return {**out, "wrong": wrong}


def main() -> None:
    """Print the measurements, and write them where the card is made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--public", type=Path)
    parser.add_argument("--fuzz", type=int, default=10000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = time.time()
    result = measure(args.model, args.public, args.fuzz)
    result["seconds"] = round(time.time() - start)
    print(json.dumps(result, indent=1, ensure_ascii=False))
    if args.out:
        args.out.write_text(
            json.dumps({k: v for k, v in result.items() if k != "wrong"}, indent=1, ensure_ascii=False) + "\n"
        )


if __name__ == "__main__":
    main()
