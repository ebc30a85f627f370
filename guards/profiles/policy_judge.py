"""Any chat model, by its own chat template, judging by policies that a configuration writes down.

For rules that no guard was trained on. Each policy is a prompt of its own and has a score of its own.
"""

from __future__ import annotations

from guards.profiles.generative import AnswerForm, GenerativeProfile, Subject

POLICY_JUDGE = GenerativeProfile(
    use="policy_judge",
    title="A chat model that judges by your own policies",
    architecture="",
    names=(),
    answer=AnswerForm(safe=(" false",), unsafe=(" true",), text='{"violates":'),
    window=8_192,
    languages=("as its checkpoint says",),
    licence="as its checkpoint says",
    subject=Subject.GUIDELINE,
    is_judge=True,
)
