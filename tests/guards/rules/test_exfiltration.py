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
        ("<style>@import url(//evil.test/x)</style>", "css"),
        ("<style>@import  url( '//evil.test/x' )</style>", "css"),
        ('a{b:-webkit-image-set("//evil.test/x" 1x)}', "css"),
        ('a{b:image-set(url("//evil.test/x") 1x)}', "css"),
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


DATA = "q7Kx2mVb9Lw4Tz8Rn3Hd6Jc1Yp5Sg0Fa"


@pytest.mark.parametrize(
    "address",
    [
        f"https://a.example.com/{DATA}/{DATA}",
        f"https://a.example.com/x?a={DATA[:16]}&b={DATA[:16]}&c={DATA[:16]}",
        f"https://a.example.com/x#{DATA}.{DATA}",
        f"https://{DATA.lower()}.{DATA.lower()}.example.com/x.png",
        f"https://{'.'.join(DATA[at : at + 6].lower() for at in range(0, 30, 6))}.k2x9q7w4z1.example.com/",
        "https://a.example.com/?q=mysecretpasswordishunterandthekeyislongerthanthat",
        "https://a.example.com/?q=" + "%73%65%63%72%65%74" * 3,
        "https://a.example.com/?q=4e2a9f0b7c6d5e1f8a3b2c4d6e7f9a0b1c2d3e4f",
    ],
)
def test_what_an_allowed_host_is_sent_in_any_part_of_the_address(address: str) -> None:
    guard = ExfiltrationGuard(["*.example.com"])
    assert {span.label for span in guard.spans(f"![x]({address})")} == {"data"}


@pytest.mark.parametrize(
    "address",
    [
        "https://a.example.com/blog/2026/11/how-to-configure-your-new-router-for-use-at-home-and-abroad",
        "https://a.example.com/orders/550e8400-e29b-41d4-a716-446655440000",
        "https://docs.api.eu-west-1.example.com/reference/get_user_by_id?page=12&sort=created_at#section-3",
        "https://a.example.com/search?q=what%20is%20the%20weather%20like%20in%20the%20north%20of%20spain",
        "https://a.example.com/HelloWorld/ReadMe.md?utm_source=newsletter&utm_campaign=autumn_2026",
    ],
)
def test_an_address_of_words_and_numbers_carries_nothing(address: str) -> None:
    assert list(ExfiltrationGuard(["*.example.com"]).spans(f"[x]({address})")) == []


@pytest.mark.parametrize("text", ["see https:evil.test/x now", "see www.evil.test/x now", "see WWW.evil.test now"])
def test_what_a_browser_or_a_renderer_completes_is_an_address(text: str) -> None:
    assert [span.label for span in ExfiltrationGuard(["example.com"]).spans(text)] == ["bare"]
    assert list(ExfiltrationGuard(["evil.test", "www.evil.test"]).spans(text)) == []
