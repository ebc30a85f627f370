"""Any other guard that says its verdict in a word: what it needs comes from the configuration, see docs/guards.md."""

from __future__ import annotations

from guards.profiles.generative import AnswerForm, GenerativeProfile

CAUSAL_GUARD = GenerativeProfile(
    use="causal_guard",
    title="A causal guard by configuration",
    architecture="",
    names=(),
    answer=AnswerForm(safe=("safe",), unsafe=("unsafe",)),
    window=4_096,
    languages=("as its checkpoint says",),
    licence="as its checkpoint says",
)
