"""What guards read of pieces and schemas has no seam and no spelling that hides a word."""

from __future__ import annotations

from gateway.wire_text import joined, schema_text


def test_neighbouring_texts_are_one_and_pictures_part_them() -> None:
    text, image = {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}
    assert joined([text, {"type": "text", "text": "b"}, image, text]) == [{"type": "text", "text": "a\nb"}, image, text]


def test_a_string_that_json_spells_otherwise_stands_below_as_it_is() -> None:
    assert schema_text({"a": "plain"}) == '{"a":"plain"}'
    assert schema_text({"a": ["one\ntwo"]}).split("\n", 1)[1] == "one\ntwo"
