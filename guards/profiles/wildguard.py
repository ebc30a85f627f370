"""WildGuard 7B: three lines, of which the first speaks of the question and the third of the answer.

For an answer, the two lines before are summed over: every value they may have, weighed by its probability. The
published checkpoint has no chat template; a configuration brings one in the form of the model card.
"""

from __future__ import annotations

from guards.profiles.generative import AnswerForm, GenerativeProfile, Line

WILDGUARD = GenerativeProfile(
    use="wildguard",
    title="WildGuard 7B",
    architecture="MistralForCausalLM",
    names=(),
    answer=AnswerForm(safe=(" no",), unsafe=(" yes",), text="Harmful request:"),
    agent_answer=AnswerForm(
        safe=(" no",),
        unsafe=(" yes",),
        before=(Line("Harmful request:", (" yes", " no")), Line("\nResponse refusal:", (" yes", " no"))),
        text="\nHarmful response:",
    ),
    window=4_096,
    languages=("en",),
    licence="Apache-2.0",
    turns=2,
    bos="<s>",
    ends=("</s>",),
    speakers=("Human user", "AI assistant", "Answers"),
)
