"""Every profile that ships, by its name: what a policy may write after `use:`, and a configuration after `profile:`.

A profile that is not in this table does not exist for anyone; a new model is one file beside this and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from guards.profiles.causal_guard import CAUSAL_GUARD
from guards.profiles.granite_guardian_3 import GRANITE_GUARDIAN_3
from guards.profiles.llama_guard_1 import LLAMA_GUARD_1
from guards.profiles.llama_guard_2 import LLAMA_GUARD_2
from guards.profiles.llama_guard_3_1b import LLAMA_GUARD_3_1B
from guards.profiles.llama_guard_3_8b import LLAMA_GUARD_3_8B
from guards.profiles.llama_guard_3_11b_vision import LLAMA_GUARD_3_11B_VISION
from guards.profiles.llama_guard_4 import LLAMA_GUARD_4
from guards.profiles.modernbert_injection import MODERNBERT_INJECTION
from guards.profiles.policy_judge import POLICY_JUDGE
from guards.profiles.profile import ModelProfile
from guards.profiles.prompt_guard_1 import PROMPT_GUARD_1_86M
from guards.profiles.prompt_guard_2 import PROMPT_GUARD_2_22M, PROMPT_GUARD_2_86M
from guards.profiles.protectai_injection_v2 import PROTECTAI_INJECTION_V2
from guards.profiles.qwen3guard_gen import QWEN3GUARD_GEN
from guards.profiles.shieldgemma import SHIELDGEMMA
from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.profiles.starter_injection import STARTER_INJECTION
from guards.profiles.wildguard import WILDGUARD

_ALL: Final[tuple[ModelProfile, ...]] = (
    STARTER_INJECTION,
    STARTER_HAZARD,
    PROMPT_GUARD_1_86M,
    PROMPT_GUARD_2_86M,
    PROMPT_GUARD_2_22M,
    PROTECTAI_INJECTION_V2,
    MODERNBERT_INJECTION,
    LLAMA_GUARD_4,
    LLAMA_GUARD_3_8B,
    LLAMA_GUARD_3_1B,
    LLAMA_GUARD_3_11B_VISION,
    LLAMA_GUARD_2,
    LLAMA_GUARD_1,
    SHIELDGEMMA,
    GRANITE_GUARDIAN_3,
    QWEN3GUARD_GEN,
    WILDGUARD,
    CAUSAL_GUARD,
    POLICY_JUDGE,
)
PROFILES: Final[Mapping[str, ModelProfile]] = MappingProxyType({profile.use: profile for profile in _ALL})
