"""Whatever the scores are, an answer that ends is what its grammar says, and nothing of a grammar is ever told."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from engine.constraint import MAX_KEPT, Constraints
from engine.errors import BadRequest
from engine.events import Finished, Reason, Sampling
from engine.grammar import of_calls, of_choices, of_lark, of_regex, of_schema
from engine.tokens import TextTokenizer
from tests.engine.constrained import STOP_IDS, VOCABULARY, Answered, answer, constraints, tokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
NAMES = st.sampled_from(["a", "b", "c d", 'q"', "é", "\\"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text('ab"\\é😀\n\x00\x1f\x7f/ ', max_size=5))
LEAVES = st.one_of(
    st.builds(lambda kind: {"type": kind}, st.sampled_from(["null", "boolean", "integer", "number"])),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "exclusiveMaximum": low + 1 + more},
        st.integers(-500, 500),
        st.integers(0, 900),
    ),
    st.builds(
        lambda low, more: {"type": "number", "exclusiveMinimum": low, "maximum": low + 1 + more},
        st.integers(-50, 50),
        st.integers(0, 9),
    ),
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, *[st.integers(0, 6)] * 2
    ),
    st.sampled_from(["^[a-f]{2,4}$", "x+y", r"^\d{3}-\d{2}$", "^(red|green|blüe)$", "^.{1,3}$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern, "maxLength": 30}
    ),
    st.lists(SCALARS, min_size=1, max_size=4).map(lambda values: {"enum": values}),
    SCALARS.map(lambda value: {"const": value}),
    st.just({"type": ["integer", "null"]}),
    st.just({"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 100}),
)


def _object(properties: dict[str, Any], required: list[bool], extra: Any) -> dict[str, Any]:
    names = [name for name, is_required in zip(properties, required, strict=False) if is_required]
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": extra}


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(
            _object,
            st.dictionaries(NAMES, inner, max_size=4),
            st.lists(st.booleans(), min_size=4, max_size=4),
            st.sampled_from([False, {"type": "integer", "maximum": 9, "minimum": 0}]),
        ),
        st.builds(
            lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
            inner,
            st.integers(0, 2),
            st.integers(0, 3),
        ),
        st.builds(
            lambda first, items: {"type": "array", "prefixItems": [first], "items": items, "maxItems": 3}, inner, inner
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        inner.map(lambda one: {"$defs": {"x": one}, "type": "array", "items": {"$ref": "#/$defs/x"}, "maxItems": 2}),
    )


SCHEMAS = st.recursive(LEAVES, _deeper, max_leaves=6).filter(lambda schema: "$defs" not in json.dumps(schema)[12:])


def holds(schema: Any, answered: Answered) -> bool:
    jsonschema.validate(answered.value, schema, cls=jsonschema.Draft202012Validator)
    return True


@settings(max_examples=120, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
def test_every_answer_that_ends_is_valid(schema: dict[str, Any], seed: int) -> None:
    answered = answer(of_schema(schema, "p"), seed)
    assert isinstance(answered.end, Finished)
    if answered.is_whole:
        assert holds(schema, answered)
    else:
        assert answered.end.generated == 400


@settings(max_examples=40, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
def test_pure_noise_is_held_to_it_too(schema: dict[str, Any], seed: int) -> None:
    answered = answer(of_schema(schema, "p"), seed, haste=0.0)
    assert not answered.is_whole or holds(schema, answered)


def test_most_answers_end() -> None:
    ended = [answer(of_schema(PERSON, "p"), seed) for seed in range(40)]
    assert sum(one.is_whole for one in ended) >= 38
    assert all(holds(PERSON, one) for one in ended if one.is_whole)
    assert len({one.text for one in ended}) > 30


def test_an_end_comes_only_where_the_text_is_whole() -> None:
    hurried = answer(of_schema(PERSON, "p"), haste=20.0)
    assert hurried.is_whole
    assert holds(PERSON, hurried)
    open_end = [answer(of_regex("[a-z]{3}[a-z]*", "p"), seed, haste=20.0) for seed in range(5)]
    assert [len(one.text) for one in open_end] == [3] * 5


def test_a_cut_answer_says_so() -> None:
    cut = answer(of_schema(PERSON, "p"), max_tokens=4)
    assert isinstance(cut.end, Finished)
    assert (cut.end.reason, cut.end.generated) == (Reason.LENGTH, 4)


def test_the_last_token_of_a_whole_answer_is_no_cut() -> None:
    chosen = answer(of_choices(["!"], "p"), max_tokens=1)
    assert (chosen.text, chosen.end) == ("!", Finished(Reason.STOP, 1))


def test_ends_that_are_not_wanted_are_put_off_as_long_as_the_grammar_goes_on() -> None:
    letters = of_regex("[a-z]{2,20}", "p")
    patient = answer(letters, haste=20.0, min_tokens=5)
    assert patient.is_whole
    assert len(patient.text) >= 5
    endless = answer(letters, haste=20.0, ignores_end=True)
    assert endless.is_whole
    assert len(endless.text) == 20
    assert answer(letters, haste=20.0, min_tokens=400).is_whole


def test_a_stop_string_still_cuts() -> None:
    cut = answer(of_choices(["alpha beta gamma"], "p"), stops=("beta",))
    assert (cut.text, cut.is_whole) == ("alpha ", True)


def test_log_probabilities_are_the_models_own() -> None:
    told = answer(of_choices(["zq"], "p"), sampling=Sampling(seed=1, logprobs=2), haste=0.0).tokens
    assert all(drawn.logprob is not None and drawn.logprob < -1 for drawn in told)
    assert all(top[1] >= drawn.logprob for drawn in told for top in drawn.top if drawn.logprob is not None)
    assert any(drawn.token not in [token for token, _ in drawn.top] for drawn in told)


def test_texts_are_chosen_whole() -> None:
    texts = ["yes", 'no "q"\n', "é😀/\\", "yes sir", "<|eot|>"]
    assert {answer(of_choices(texts, "p"), seed, haste=0.0).text for seed in range(60)} == set(texts)


def test_a_grammar_may_be_given() -> None:
    grammar = of_lark('start: sum\nsum: NUMBER ("+" NUMBER){1,3}\nNUMBER: /[1-9][0-9]{0,2}/', "p")
    for seed in range(10):
        answered = answer(grammar, seed)
        assert answered.is_whole
        assert set(answered.text) <= set("0123456789+")
        assert answered.text.count("+") in (1, 2, 3)


def test_control_tokens_are_never_drawn() -> None:
    special = tokenizer().special_ids
    asked = constraints().compiled(of_lark('start: "a" (<[0-8]> | "b")', "p"))
    assert not asked.text_v[list(special)].any()
    assert not asked.text_v[320:].any()
    assert asked.drawable_v.nonzero().flatten().tolist()[:3] == sorted(STOP_IDS)
    assert answer(of_lark('start: "a" (<[2]> | "b")', "p"), haste=0.0).text == "ab"


def byte_of(character: str) -> int:
    """GPT-2's table, written down independently: printable Latin-1 stands for itself, the rest from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [code for code in range(256) if code not in printable]
    return ord(character) if ord(character) in printable else others[ord(character) - 256]


def test_the_library_knows_the_bytes_of_every_token() -> None:
    known = constraints().tokenizer
    assert known is not None
    vocabulary = json.loads(tokenizer().to_json())["model"]["vocab"]
    assert len(vocabulary) == 320
    for piece, token in vocabulary.items():
        if token in tokenizer().special_ids or piece == "ÿ":  # a byte that no UTF-8 has; the library marks with it
            assert known.is_special_token(token)
        else:
            assert known.decode_bytes([token]) == bytes(map(byte_of, piece))
    assert known.vocab_size == VOCABULARY


def test_pieces_with_a_space_mark_and_bytes_are_known_too() -> None:
    """As Llama 1 and 2 and Mistral have them."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "é", "[INST]"]
    raw = Tokenizer(models.BPE({piece: at for at, piece in enumerate(pieces)}, [("▁", "a")], byte_fallback=True))
    raw.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    raw.add_special_tokens(["<unk>", "<s>", "</s>"])
    raw.add_tokens(["[INST]"])
    known = Constraints(TextTokenizer(raw, raw, frozenset({0, 1, 2}), 0), len(pieces), frozenset({2})).tokenizer
    assert known is not None

    assert [known.decode_bytes([3 + byte]) for byte in range(255)] == [bytes([byte]) for byte in range(255)]
    told = [known.decode_bytes([at]).decode() for at in range(259, len(pieces) - 1)]
    assert told == [" ", "a", "b", " a", "é"]
    assert [at for at in range(len(pieces)) if known.is_special_token(at)] == [0, 1, 2, 258, len(pieces) - 1]


def test_a_vocabulary_of_another_kind_is_refused() -> None:
    raw = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(BadRequest) as caught:
        Constraints(TextTokenizer(raw, raw, frozenset(), 0), 2, frozenset({1})).compiled(of_regex("a", "p"))
    assert caught.value.code == "no_constraints"


@pytest.mark.parametrize(
    ("grammar", "told"),
    [
        (of_schema({"type": 3}, "p"), "`type`"),
        (of_schema({"type": "string", "pattern": "(?=SECRET)b"}, "p"), "`pattern`"),
        (of_schema({"type": "string", "pattern": "SECRET("}, "p"), "`pattern`"),
        (of_schema({"$ref": "#/$defs/SECRET"}, "p"), "`$ref`"),
        (of_schema({"minimum": "SECRET"}, "p"), "`minimum`"),
        (of_schema({"type": "integer", "minimum": 5, "maximum": 3}, "p"), "nothing that could be answered"),
        (of_schema({"enum": []}, "p"), "nothing"),
        (of_schema({"$ref": "#"}, "p"), "nothing"),
        (of_schema({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}, "p"), "`oneOf`"),
        (of_schema({"allOf": [{"anyOf": [{"properties": {f"SECRET{i}": {"const": j}}} for j in range(4)]} for i in range(9)]}, "p"), "large"),  # noqa: E501
        (of_regex("SECRET(", "p"), "`pattern`"),
        (of_regex("a?", "p"), ""),
        (of_lark("SECRET", "p"), "cannot be enforced"),
        (of_lark('start: SECRET', "p"), "cannot be enforced"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused_without_repeating_it(grammar: Any, told: str) -> None:
    if not told:
        assert constraints().compiled(grammar)
        return
    with pytest.raises(BadRequest) as caught:
        constraints().compiled(grammar)
    assert caught.value.code == "invalid_schema"
    assert caught.value.status == 400
    assert told in caught.value.problem
    assert "SECRET" not in caught.value.problem


def test_a_grammar_that_gets_out_of_hand_ends_its_answer_and_is_compiled_anew() -> None:
    wild = of_regex("(.*a.{40}b.*c.{40}d.*){2}", "p")
    compiled = constraints().compiled(wild)
    begun = time.monotonic()
    ends = []
    for seed in range(3):
        one = answer(wild, seed, haste=0.0, max_tokens=150)
        ends.append(one.end)
    assert time.monotonic() - begun < 20
    failed = [end for end in ends if isinstance(end, BadRequest)]
    assert all(end.code == "invalid_schema" for end in failed)
    assert (constraints().compiled(wild) is compiled) == (not failed)


def test_a_schema_whose_next_token_takes_too_much_work_is_a_refusal_and_no_failure_of_the_step() -> None:
    many = {f"k{at}": {"type": "string", "pattern": "^(a|b)*$"} for at in range(800)}
    heavy = of_schema({"type": "object", "properties": many}, "p")
    ends = [answer(heavy, seed, max_tokens=30).end for seed in range(2)]
    assert [type(end) for end in ends] == [BadRequest] * 2
    assert all(isinstance(end, BadRequest) and "too much work" in end.problem for end in ends)


def test_equal_grammars_are_compiled_once_and_old_ones_forgotten() -> None:
    kept = Constraints(tokenizer(), VOCABULARY, STOP_IDS)
    first = kept.compiled(of_schema({**PERSON, "title": "One"}, "p"))
    assert kept.compiled(of_schema({**PERSON, "description": "Two"}, "p")) is first
    for at in range(MAX_KEPT):
        kept.compiled(of_choices([f"n{at}"], "p"))
    assert kept.compiled(of_schema(PERSON, "p")) is not first


def test_answers_follow_one_grammar_side_by_side() -> None:
    calls = of_calls([{"name": "f", "parameters": PERSON}], "p")
    with ThreadPoolExecutor(4) as pool:
        together = [one.text for one in pool.map(lambda seed: answer(calls, seed), range(16))]
    assert together == [answer(calls, seed).text for seed in range(16)]


def test_a_mask_costs_nothing_where_nobody_asks() -> None:
    mask_v = constraints().compiled(of_schema(PERSON, "p")).begin().allowed(may_end=True)
    assert mask_v is not None
    assert mask_v.dtype is torch.bool
    assert mask_v.shape == (VOCABULARY,)
