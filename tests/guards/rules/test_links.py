"""An address is found however it is written, and leads where a browser would go."""

from __future__ import annotations

import pytest

from guards.rules.links import host, is_active, is_allowed, links


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("![x](https://a.test/?q=1)", [("image", "a.test")]),
        ('![x]( <https://a.test/i.png> "title")', [("image", "a.test")]),
        ("[a](//a.test/x)", [("link", "a.test")]),
        ("[a](/here)", [("link", "")]),
        ("end of a long text](//a.test/x) [b](//b.test)", [("image", "a.test"), ("link", "b.test")]),
        ("[a] [b](//b.test)", [("link", "b.test")]),
        ("[r]: https://a.test/a\n![a][r]", [("reference", "a.test")]),
        ("> [r]: <https://a.test>", [("reference", "a.test")]),
        ("<https://a.test/x>", [("autolink", "a.test")]),
        ("<img src=https://a.test/x>", [("html", "a.test")]),
        ("<IMG SRC = '&#104;ttps://a.test/x'>", [("html", "a.test")]),
        ('<a href="ht\ntps://a.test/">', [("html", "a.test")]),
        ('<img srcset="https://a.test/a 1x, https://b.test/b 2x">', [("html", "a.test"), ("html", "b.test")]),
        ('<meta http-equiv="refresh" content="0; url=https://a.test">', [("html", "a.test")]),
        ("background: url( 'https://a.test/x')", [("css", "a.test")]),
        ('@import "https://a.test/x"', [("css", "a.test")]),
        ("see https://a.test/x.", [("bare", "a.test")]),
        ("https:\\\\a.test\\x", [("bare", "a.test")]),
        ("[x](javascript:alert(1))", [("link", None)]),
        ("j a v a script: alert", [("script", None)]),
        ("at 12:30 (ok) a=b [x] (y) <b>", []),
    ],
)
def test_ways_of_writing(text: str, found: list[tuple[str, str | None]]) -> None:
    got = [(link.kind, link.host) for link in links(text)]
    assert got[: len(found)] == found
    assert {kind for kind, _ in got[len(found) :]} <= {"bare"}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://a.test", "a.test"),
        ("HTTPS://A.TEST:443/x", "a.test"),
        ("https://a.test./", "a.test"),
        ("https://good.test@evil.test/", "evil.test"),
        ("https://good.test%40evil.test/", None),
        ("https://evil%2Etest/", "evil.test"),
        ("https:evil.test/a", "evil.test"),
        ("https:///evil.test", "evil.test"),
        ("https://good.test\\@evil.test/", "good.test"),
        ("\\\\evil.test", "evil.test"),
        ("https://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("https://ёvil.test/", None),
        ("https://", None),
        ("gopher://a.test", None),
        ("javascript:x", None),
        ("mailto:a@b.test", ""),
        ("page.html?x=https://a.test", ""),
    ],
)
def test_an_address_leads_where_a_browser_goes(address: str, name: str | None) -> None:
    assert host(address) == name


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("example.com", True),
        ("a.cdn.example.com", True),
        ("cdn.example.com", False),
        ("example.com.evil.test", False),
        ("notexample.com", False),
        ("", True),
        (None, False),
    ],
)
def test_a_star_allows_what_is_below_and_not_the_host_itself(name: str | None, allowed: bool) -> None:
    assert is_allowed(name, frozenset({"example.com", "*.cdn.example.com"})) is allowed


def test_what_runs_code_is_active() -> None:
    assert [is_active(one) for one in ("JavaScript:x", "data:text/html,x", "https://a.test", "/x")] == [
        True,
        True,
        False,
        False,
    ]
