"""Every profile that ships, by its name: what a policy may write after `use:`, and a configuration after `profile:`.

A profile that is not in this table does not exist for anyone; a new model is one file beside this and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from guards.profiles.modernbert_injection import MODERNBERT_INJECTION
from guards.profiles.profile import ModelProfile
from guards.profiles.prompt_guard_1 import PROMPT_GUARD_1_86M
from guards.profiles.prompt_guard_2 import PROMPT_GUARD_2_22M, PROMPT_GUARD_2_86M
from guards.profiles.protectai_injection_v2 import PROTECTAI_INJECTION_V2
from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.profiles.starter_injection import STARTER_INJECTION

_ALL: Final[tuple[ModelProfile, ...]] = (
    STARTER_INJECTION,
    STARTER_HAZARD,
    PROMPT_GUARD_1_86M,
    PROMPT_GUARD_2_86M,
    PROMPT_GUARD_2_22M,
    PROTECTAI_INJECTION_V2,
    MODERNBERT_INJECTION,
)
PROFILES: Final[Mapping[str, ModelProfile]] = MappingProxyType({profile.use: profile for profile in _ALL})
