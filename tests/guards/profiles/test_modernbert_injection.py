"""The profile of classifiers with a long window."""

from __future__ import annotations

from guards.profiles.modernbert_injection import MODERNBERT_INJECTION


def test_the_window_takes_most_documents_whole_and_the_second_label_is_the_attack() -> None:
    assert MODERNBERT_INJECTION.window == 8_192
    assert MODERNBERT_INJECTION.flagged == MODERNBERT_INJECTION.labels[1:]
    assert all(len(names) == 2 for names in MODERNBERT_INJECTION.spellings)
