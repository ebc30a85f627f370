"""The checkpoint's template, rendered without a user's text ever being in it."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.generative.template import PROBE, GuardTemplate
from guards.profiles.generative import Content
from tests.guards.generative.stand_ins import profile_of, template_of

BOS = {"bos_token": "<s>"}


def template(source: str, content: Content = Content.STRING, most: int = 0) -> GuardTemplate:
    return GuardTemplate("g", source, content, BOS, most=most)


ECHO = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}>"


def test_texts_stand_where_the_template_puts_them() -> None:
    shape = template(ECHO).shape(3)

    assert shape.filled(("a", "b", "c")) == "[user]a\n[assistant]b\n[user]c\n>"
    assert shape.slots == (0, 1, 2)
    assert not shape.trims


@pytest.mark.parametrize(
    "use", ["llama_guard_1", "llama_guard_2", "llama_guard_3_1b", "llama_guard_3_8b", "llama_guard_4"]
)
def test_what_is_put_together_is_what_jinja_makes_of_the_texts(use: str) -> None:
    made = template(template_of(use), profile_of(use).content)

    made.check()

    assert made.shape(1).trims


def test_a_text_full_of_template_syntax_is_text() -> None:
    text = "{{ messages }}{% raw %}{# no #}"

    assert template(ECHO).shape(1).filled((text,)) == f"[user]{text}\n>"


def test_white_space_around_a_text_goes_where_the_template_strips_it_and_only_there() -> None:
    stripped = template("{% for m in messages %}{{ m['content'] | trim }};{% endfor %}")
    stripped.check()

    assert stripped.shape(1).filled(("  a b \n",)) == "a b;"
    assert template(ECHO).shape(1).filled(("  a ",)) == "[user]  a \n>"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ messages[0]['content'] | upper }}", "does more with a text"),
        ("{{ messages[0]['content'] | replace('<', '(') }}", "does more with a text"),
        ("{{ messages[0]['content'] | e }}", "does more with a text"),
        ("{{ messages[0]['content'][:40] }}", "does more with a text"),
        ("{{ messages[0]['content'].split() | join(' ') }}", "does more with a text"),
        ("nothing of it", "leaves out the text of the judged message"),
        ("{{ messages[-1]['content'] }}", "leaves out the text of message 1 of 2"),
        ("{{ raise_exception('not me') }}", "not me"),
        ("{{ messages.append(1) }}", "fails for 1 turns"),
        ("{{ ().__class__.__base__.__subclasses__() }}", "fails for 1 turns"),
        ("{% for i in range(999999999) %}x{% endfor %}", "fails for 1 turns"),
        ("{{ 1 / 0 }}", "fails for 1 turns: ZeroDivisionError"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(source: str, told: str) -> None:
    with pytest.raises(GuardSetupError, match=told):
        template(source).check()


@pytest.mark.parametrize(("source", "told"), [("{% if %}", "cannot be read"), ("x" * 300_000, "longer than")])
def test_a_file_that_is_no_template_is_refused(source: str, told: str) -> None:
    with pytest.raises(GuardSetupError, match=told):
        template(source)


def test_one_that_knows_two_turns_only_is_tried_with_two() -> None:
    source = "{% if messages | length > 2 %}{{ raise_exception('two') }}{% endif %}" + ECHO

    template(source, most=2).check()
    with pytest.raises(GuardSetupError, match="two"):
        template(source).check()


def test_variables_and_special_tokens_reach_the_template() -> None:
    made = template("{{ bos_token }}{{ risk }}:{{ messages[0]['content'] }}{{ {'a': '<é>'} | tojson }}")

    assert made.shape(1, "r1", {"risk": "harm"}).filled(("x",)) == '<s>harm:x{"a": "<é>"}'
    assert made.shape(1, "r2", {"risk": "hate"}).filled(("x",)).startswith("<s>hate:")


def test_a_long_conversation_does_not_keep_a_shape_for_each_length() -> None:
    made = template(ECHO)
    for turns in range(1, 300):
        made.shape(turns)

    assert len(made._shapes) <= 256
    assert made.shape(1).filled((PROBE,)) == f"[user]{PROBE}\n>"
