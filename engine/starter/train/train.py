"""Trains the starter engine and writes its checkpoint.

    python -m engine.starter.train.train --public FOLDER --out engine/starter/model --minutes 25

`--public` is a folder of `*.jsonl.gz` with openly licensed prompts (see README.md here); without it the fallback is
taught from the committed prompts alone. The last quarter of the run sees weights rounded to float8, so that what is
stored is what was trained. A run that continues another needs another `--seed`, or it sees the same examples again.
The length of the run in minutes makes two machines differ.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Llama4ForCausalLM

from engine.starter.train.architecture import RoutedMoe, matrices, rounded, route, starter_config
from engine.starter.train.chat import Chat, Message, function, tools_text
from engine.starter.train.checkpoint import save
from engine.starter.train.corpus import load_intents, sample_public
from engine.starter.train.evaluate import BEGINNING, first_tokens_right, load
from engine.starter.train.examples import Example, Examples
from engine.starter.train.vocabulary import train_tokenizer
from engine.starter.train.warm_start import token_vectors

SEED = 2026
BATCH_TOKENS = 1400
PLAIN_PART = 0.4
"""Share of the run that sees plain questions only: conversations and tools come when words mean something."""
WARM_START_S = 75.0
EMBEDDING_DROPOUT, TOKEN_DROPOUT, EXPERT_DROPOUT = 0.05, 0.02, 0.03
"""Parts of a vector, whole tokens, and parts of what the experts add: no prompt may hang on one word or one number."""

Row = tuple[list[int], list[float]]
"""Ids, and how much each of the last ones, which are the answer's, counts."""


def tokenizer_texts(examples: Examples, count: int = 30000) -> list[str]:
    """What the vocabulary is made from: conversations as they will be seen."""
    drawn = [examples.draw() for _ in range(count)]
    texts = [text for example in drawn for _, text in example.messages] + [example.answer for example in drawn]
    names = [tools_text([function(tool.name, tool.argument, d) for d in tool.descriptions]) for tool in examples.tools]
    return texts + names * 300 + ["system", "user", "assistant", "ipython", "\n\n"] * 1000


def encode(chat: Chat, example: Example, rng: random.Random) -> Row:
    """One conversation as ids, with the weights of its answer."""
    answer = chat.answer(example.answer)
    prompt = chat.prompt(across(chat, example.messages, len(answer), rng) if example.across else example.messages)
    if not example.whole and rng.random() < 0.88:
        answer = answer[:BEGINNING]
    weights = [example.first if place < BEGINNING else example.later for place in range(len(answer))]
    return prompt + answer, weights


def across(chat: Chat, messages: Sequence[Message], answer: int, rng: random.Random) -> Sequence[Message]:
    """The conversation with its first text cut so that a border of an attention chunk falls into the answer."""
    (role, text), *others = messages
    border = 512 * rng.choices((1, 2, 3), (90, 8, 2))[0]
    room = border - len(chat.prompt([(role, ""), *others])) - rng.randint(-2, answer)
    return [(role, chat.tokenizer.decode(chat.text(text)[: max(room, 1)])), *others]


def batches(
    chat: Chat, draw: Callable[[], Example], rng: random.Random, pool: int = 1536
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """A pool of examples as batches of like lengths: ids, targets with -100 where nothing is learnt, weights."""
    rows = sorted((encode(chat, draw(), rng) for _ in range(pool)), key=lambda row: len(row[0]))
    groups: list[list[Row]] = [[]]
    for row in rows:
        if groups[-1] and (len(groups[-1]) + 1) * len(row[0]) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    return [to_tensors(group, chat.control("finetune_right_pad")) for group in groups]


def to_tensors(group: list[Row], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded ids, the next token where it belongs to an answer, and how much it counts."""
    width = max(len(ids) for ids, _ in group)
    ids_BT = torch.full((len(group), width), pad)
    target_BT = torch.full((len(group), width), -100)
    weight_BT = torch.zeros(len(group), width)
    for row, (ids, weights) in enumerate(group):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        start = len(ids) - len(weights)
        target_BT[row, start - 1 : len(ids) - 1] = torch.tensor(ids[start:])
        weight_BT[row, start - 1 : len(ids) - 1] = torch.tensor(weights)
    return ids_BT, target_BT, weight_BT


def loss_of(
    model: Llama4ForCausalLM, moes: list[RoutedMoe], ids_BT: Tensor, target_BT: Tensor, weight_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted loss on answer tokens, and the balance of the experts."""
    embedded_BTD = functional.dropout(model.model.embed_tokens(ids_BT), EMBEDDING_DROPOUT)
    embedded_BTD = embedded_BTD * (torch.rand(ids_BT.shape) >= TOKEN_DROPOUT).unsqueeze(-1)
    hidden = model.model(inputs_embeds=embedded_BTD, use_cache=False).last_hidden_state
    learnt = target_BT != -100
    losses = functional.cross_entropy(model.lm_head(hidden[learnt]).float(), target_BT[learnt], reduction="none")
    balance = torch.stack([moe.balance for moe in moes]).mean()
    return (losses * weight_BT[learnt]).sum() / weight_BT.sum().clamp_min(1.0), balance


class Rounding:
    """Straight-through rounding: forward and backward see float8 values, the optimizer keeps the exact ones."""

    def __init__(self, model: Llama4ForCausalLM) -> None:
        self.parameters = list(matrices(model).values())

    def __enter__(self) -> None:
        self.exact = [p.detach().clone() for p in self.parameters]
        for p in self.parameters:
            p.data = rounded(p.data)

    def __exit__(self, *_: object) -> None:
        for p, exact in zip(self.parameters, self.exact, strict=True):
            p.data = exact


class Average:
    """Exponential average of the weights; it answers better than the last step's."""

    def __init__(self, model: Llama4ForCausalLM) -> None:
        self.parameters = list(model.parameters())
        self.values = [p.detach().clone() for p in self.parameters]

    def update(self, decay: float) -> None:
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - decay)

    def install(self) -> None:
        for p, value in zip(self.parameters, self.values, strict=True):
            p.data.copy_(value)


def rate(done: float, peak: float) -> float:
    """Learning rate at a share of the run: a short rise, level, then a linear fall."""
    rise = min(1.0, done / 0.04)
    return peak * rise * min(1.0, max(0.02, (1 - done) / 0.6))


def fresh(examples: Examples, texts: Examples) -> tuple[Llama4ForCausalLM, Chat]:
    """A new vocabulary and a new model that knows nothing but which words matter."""
    tokenizer = train_tokenizer(tokenizer_texts(texts))
    chat = Chat(tokenizer)
    bos, pad = chat.control("begin_of_text"), chat.control("finetune_right_pad")
    eos = [chat.control(name) for name in ("eot", "eom", "end_of_text")]
    model = Llama4ForCausalLM(starter_config(eos, bos, pad, tokenizer.get_vocab_size()))
    vectors = token_vectors(chat, examples, model.config.hidden_size, WARM_START_S, SEED)
    model.model.embed_tokens.weight.data.copy_(vectors * 0.1)
    return model, chat


def main() -> None:
    """Train for the given minutes, save, print how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", type=Path, help="folder of *.jsonl.gz with off-topic prompts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="continue from this checkpoint")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--checkpoint-every", type=float, default=5, help="minutes between looks at held-out prompts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    intents = load_intents()
    public = sample_public(args.public, intents, 12000, args.seed) if args.public else []
    harmful = sample_public(args.public, intents, 1500, args.seed, safe=False) if args.public else []
    examples = Examples(intents, public, harmful, args.seed)
    model, chat = load(args.start) if args.start else fresh(examples, Examples(intents, public, harmful, args.seed + 1))
    plain_part = 0.0 if args.start else PLAIN_PART
    moes = route(model)
    for moe in moes:
        moe.dropout = EXPERT_DROPOUT
    count = sum(p.numel() for p in model.parameters())
    print(json.dumps({"parameters": count, "public": len(public), "intents": len(intents)}), flush=True)

    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        lr=args.peak,
        betas=(0.9, 0.98),
        fused=True,
    )
    rounding, average = Rounding(model), Average(model)
    queue: list[tuple[Tensor, Tensor, Tensor]] = []
    start, step, tokens, shown, looked = time.time(), 0, 0, 0.0, 0.0
    running = math.nan
    while (spent := time.time() - start) < args.minutes * 60:
        done = spent / (args.minutes * 60)
        queue = queue or batches(chat, examples.draw_plain if done < plain_part else examples.draw, rng)
        batch = queue.pop()
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = rate(done, args.peak)
        if done > 0.75:
            with rounding:
                loss, balance = step_gradients(model, moes, batch)
        else:
            loss, balance = step_gradients(model, moes, batch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(min(0.999, step / (step + 50)))
        step, tokens = step + 1, tokens + batch[0].numel()
        running = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
        if spent - shown > 20:
            shown = spent
            print(
                json.dumps(
                    {
                        "s": round(spent),
                        "step": step,
                        "tokens": tokens,
                        "loss": round(running, 4),
                        "balance": round(balance, 3),
                    }
                ),
                flush=True,
            )
        if spent - looked > args.checkpoint_every * 60:
            looked = spent
            exact = [p.detach().clone() for p in model.parameters()]
            average.install()
            model.eval()
            save(model, chat.tokenizer, args.out)
            print(json.dumps(first_tokens_right(model, chat, intents)), flush=True)
            for p, value in zip(model.parameters(), exact, strict=True):
                p.data.copy_(value)
    average.install()
    model.eval()
    save(model, chat.tokenizer, args.out)
    print(
        json.dumps(
            {
                "steps": step,
                "tokens": tokens,
                "seconds": round(time.time() - start),
                **first_tokens_right(model, chat, intents),
            }
        )
    )


def step_gradients(
    model: Llama4ForCausalLM, moes: list[RoutedMoe], batch: tuple[Tensor, Tensor, Tensor]
) -> tuple[float, float]:
    """Gradients of one batch; its loss and balance."""
    loss, balance = loss_of(model, moes, *batch)
    (loss + 0.01 * balance).backward()
    return loss.item(), balance.item()


if __name__ == "__main__":
    main()
