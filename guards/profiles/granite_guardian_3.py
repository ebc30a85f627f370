"""Granite Guardian 3.0 to 3.2: one risk a prompt, `Yes` when it is there.

The template knows the risks by name. What 3.2 says of its confidence comes after the verdict and is not read. 3.3 and
later answer in another form and are configured as `causal_guard`.
"""

from __future__ import annotations

from guards.profiles.generative import AnswerForm, GenerativeProfile, Subject

GRANITE_GUARDIAN_3 = GenerativeProfile(
    use="granite_guardian_3",
    title="Granite Guardian 3.0 to 3.2",
    architecture="",
    names=(
        ("harm", "Harm"),
        ("social_bias", "Social bias"),
        ("jailbreak", "Jailbreak"),
        ("violence", "Violence"),
        ("profanity", "Profanity"),
        ("sexual_content", "Sexual content"),
        ("unethical_behavior", "Unethical behaviour"),
    ),
    answer=AnswerForm(safe=("No",), unsafe=("Yes",)),
    window=8_192,
    languages=("en",),
    licence="Apache-2.0",
    turns=2,
    subject=Subject.RISK,
    ends=("<|end_of_text|>",),
    speakers=("User Message", "Assistant Message", "Context"),
)
