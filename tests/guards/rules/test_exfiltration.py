"""What leads to a host that nobody allowed is found, and what stays on an allowed one is not."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.rules.exfiltration import ExfiltrationGuard

GUARD = ExfiltrationGuard(["example.com", "*.cdn.example.com"])
PACKED = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("![x](https://evil.test/?q=1)", [("image", "https://evil.test/?q=1")]),
        ("![x](https://example.com/a.png) [y](/z) mailto:a@b.test", []),
        ("[x](https://a.cdn.example.com/)", []),
        ("[x](https://example.com@evil.test/)", [("link", "https://example.com@evil.test/")]),
        ("https://example.com.evil.test", [("bare", "https://example.com.evil.test")]),
        (f"https://example.com/?d={PACKED}", [("data", f"https://example.com/?d={PACKED}")]),
        ("[x](javascript:alert(1))", [("script", "javascript:alert(1")]),
        ("![x](data:text/html;base64,AAAA)", [("script", "data:text/html;base64,AAAA")]),
        ("ｈｔｔｐｓ：／／evil.test", [("bare", "ｈｔｔｐｓ：／／evil.test")]),
        ("the ratio is 3:1 (a/b = c)", []),
        ("", []),
        ("\ud800 https://evil.test", [("bare", "https://evil.test")]),
    ],
)
def test_addresses_count_by_their_host(text: str, found: list[tuple[str, str]]) -> None:
    assert [(span.label, text[span.start : span.end]) for span in GUARD.spans(text)] == found


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (r"![x](http\://evil.test/?q=1)", "image"),
        (r"![x](https://example.com\@evil.test/?q=1)", "image"),
        ("![x](https://example.com\uff0f@evil.test/?q=1)", "image"),
        ("![x](https://example.com\uff1f@evil.test/?q=1)", "image"),
        ("![a [b] c](https://evil.test/a)", "image"),
        ("![" + "a" * 1_200 + "](https://evil.test/a)", "image"),
        ("![a](" + " " * 21 + "//evil.test/x)", "image"),
        ("![a][b]\n\n[a\nb]: //evil.test/x", "reference"),
        ("- [b]: //evil.test/x", "reference"),
        (r"[b\]c]: //evil.test/x", "reference"),
        ("<img src='\x01//evil.test/a'>", "html"),
        ('<img src          =          "//evil.test/a">', "html"),
        ('<link rel=preload as=image imagesrcset="//evil.test/x 1x">', "html"),
        (r"a{b:url(https\3a//evil.test/x)}", "css"),
        (r"a{b:url(\2f\2f evil.test/x)}", "css"),
    ],
)
def test_escapes_and_odd_forms_hide_no_host(text: str, label: str) -> None:
    assert [span.label for span in GUARD.spans(text) if (span.label, label) != ("image", "reference")] == [label]


def test_an_address_that_is_referred_to_may_be_that_of_a_picture() -> None:
    text = "![a][b] and more\n\n[b]: //evil.test/x"
    assert [span.label for span in ExfiltrationGuard(find=["image"]).spans(text)] == ["image"]
    assert [span.label for span in GUARD.spans(text)] == ["image", "reference"]
    assert not list(GUARD.spans("[b]: //example.com/x"))


def test_full_width_signs_after_an_allowed_host_are_no_find() -> None:
    assert not list(GUARD.spans("[a](https://example.com/\uff1f) https://\uff45xample.com/"))


def test_find_chooses_and_without_hosts_no_host_is_allowed() -> None:
    text = "![x](https://a.test) [y](https://a.test)"
    assert [span.label for span in ExfiltrationGuard(find=["image"]).spans(text)] == ["image"]
    assert [span.label for span in ExfiltrationGuard().spans(text)] == ["image", "link"]


@pytest.mark.parametrize("hosts", [["https://a.test"], ["A.test"], ["*.*.test"], [""], ["a.test/x"]])
def test_what_is_no_host_is_refused(hosts: list[str]) -> None:
    with pytest.raises(GuardSetupError, match="is no host") as caught:
        ExfiltrationGuard(hosts)
    assert caught.value.option == "hosts"


@pytest.mark.parametrize("find", [[], ["video"]])
def test_what_cannot_be_looked_for_is_refused(find: list[str]) -> None:
    with pytest.raises(GuardSetupError) as caught:
        ExfiltrationGuard(find=find)
    assert caught.value.option == "find"


@pytest.mark.parametrize(
    "unit",
    ["![](", "[x](", "![", "![a\n", "url(", 'src="', "https://a ", "[a]:", "<a:", "javascript:", "](a", "&#", "a=b "],
)
def test_hostile_text_is_read_whole(unit: str) -> None:
    text = unit * (100_000 // len(unit)) + " https://evil.test"
    assert any(text[span.end - 9 : span.end] == "evil.test" for span in GUARD.spans(text))
