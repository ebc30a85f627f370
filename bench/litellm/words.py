"""The simplest guardrail that LiteLLM can run: one regular expression before the call and one after it."""

from __future__ import annotations

import re
from typing import Any

from litellm.integrations.custom_guardrail import CustomGuardrail

_FORBIDDEN = re.compile(r"\b(?:forbidden-word|another-one)\b", re.I)


class Words(CustomGuardrail):
    """Refuses two words, in the request and in the answer of a request that is not streamed."""

    async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any) -> Any:
        for message in data.get("messages") or []:
            if _FORBIDDEN.search(str(message.get("content"))):
                raise ValueError("blocked by the word guardrail")
        return data

    async def async_post_call_success_hook(self, data: Any, user_api_key_dict: Any, response: Any) -> Any:
        for choice in getattr(response, "choices", []):
            if _FORBIDDEN.search(str(choice.message.content)):
                raise ValueError("blocked by the word guardrail")
        return response
