"""What training draws: the same for the same seed, and never a prompt that is held out."""

from __future__ import annotations

from engine.starter.train.augment import SMALL_TALK, vary
from engine.starter.train.corpus import FALLBACK, bare, expand, lines, load_intents
from engine.starter.train.examples import Examples, garbage


def test_two_runs_with_one_seed_draw_the_same() -> None:
    first, second = (Examples(load_intents(), (), (), seed=4) for _ in range(2))

    assert [first.draw() for _ in range(50)] == [second.draw() for _ in range(50)]


def test_patterns_hold_no_held_out_prompt() -> None:
    intents = load_intents()
    held_out = {bare(p) for i in intents for p in i.held_out} | {bare(p) for p in lines("holdout_offtopic.txt")}

    assert held_out.isdisjoint(bare(p) for i in intents for group in i.patterns for p in group)


def test_a_pattern_stands_for_every_choice() -> None:
    assert list(expand("(a|the) log (now|)")) == ["a log now", "a log", "the log now", "the log"]


def test_every_answer_is_a_trained_sentence_or_a_call() -> None:
    examples = Examples(load_intents(), (), (), seed=8)
    sentences = {FALLBACK, examples.after_result, *examples.answers.values()}

    for example in (examples.draw() for _ in range(400)):
        call = example.answer.startswith("[") and example.answer.endswith('")]')
        assert example.answer in sentences or call


def test_a_tool_is_called_only_with_an_argument_that_stands_in_the_prompt() -> None:
    examples = Examples(load_intents(), (), (), seed=9)
    known = {value for tool in examples.tools for value in tool.values}

    for example in (examples.tool_call() for _ in range(100)):
        argument = example.answer.split('="')[1].removesuffix('")]')
        assert argument in known
        assert argument.lower() in example.messages[-1][1].lower()


def test_a_strange_argument_is_none_of_the_known_ones() -> None:
    examples = Examples(load_intents(), (), (), seed=9)

    for tool in examples.tools:
        assert {examples.stranger(tool) for _ in range(100)}.isdisjoint(tool.values)


def test_an_instruction_with_a_text_gets_the_fallback() -> None:
    examples = Examples(load_intents(), (), (), seed=5)

    drawn = [examples.task() for _ in range(60)]

    assert {example.answer for example in drawn} == {FALLBACK}
    assert any("\n" in example.messages[-1][1] for example in drawn)


def test_the_rest_of_an_answer_is_learnt_without_its_beginning() -> None:
    """What is right to say is not taught by prompts that have nothing to do with it."""
    assert {Examples(load_intents(), (), (), seed=seed).anyway().first for seed in range(5)} == {0.0}


def test_typing_habits_keep_something_to_read() -> None:
    rng = Examples(load_intents(), (), (), seed=1).rng

    assert all(vary("where is the audit log", rng, wrap=True).strip() for _ in range(300))
    assert all(garbage(rng) for _ in range(300))
    assert "greeting" in SMALL_TALK
