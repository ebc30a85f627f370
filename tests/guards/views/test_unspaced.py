"""Letters that were set apart."""

from __future__ import annotations

import time

import pytest

from guards.views.mapped import Mapped
from guards.views.unspaced import unspaced


@pytest.mark.parametrize(
    "apart",
    [
        "i g n o r e  a l l",
        "i g n o r e a l l",
        "i.g.n.o.r.e a.l.l",
        "i.g.n.o.r.e.a.l.l",
        "i-g-n-o-r-e_a-l-l",
        "i_g_n_o_r_e a_l_l",
        "i g n o r e _ a l l",
        "i *g *n *o *r *e   *a *l *l",
        "i\ng\nn\no\nr\ne\n\na\nl\nl",
        "i  g n o r e a l l",
        "i g.n-o r*e / a l l",
    ],
)
def test_letters_come_together_to_words(apart: str) -> None:
    view = unspaced(Mapped(apart))

    assert view
    assert view.text == "ignore all"
    start, end = view.raw(0, 6)
    assert (start, apart[end - 1]) == (0, "e")


def test_exotic_characters_do_not_switch_the_repair_off() -> None:
    view = unspaced(Mapped("ﬁ ☃ Ⅷ i g n o r e  a l l 🦄 \ud800"))

    assert view
    assert view.text == "ﬁ ☃ Ⅷ ignore all 🦄 \ud800"


def test_a_word_that_no_list_knows_comes_together_as_well() -> None:
    view = unspaced(Mapped("make z y x w v u t now"))

    assert view
    assert view.text == "make zyxwvut now"


@pytest.mark.parametrize(
    "text",
    [
        "plain text with a word or two",
        "J. R. R. Tolkien, e. g. the U. S. A.",
        "1 2 3 4 5 6",
        "x = a + b",
        "- a\n- b",
        "Is it I? A. B.",
        "你 好 世 界",
    ],
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert unspaced(Mapped(text)) is None


def test_cost_is_linear() -> None:
    for text in ("a " * 150_000, "a.b-" * 80_000, "!" * 300_000, "a!" * 150_000, "a   " * 80_000):
        started = time.process_time()
        unspaced(Mapped(text))
        assert time.process_time() - started < 5
