"""What the prompts of Llama Guard have in common, and the places where they differ."""

from __future__ import annotations

from guards.profiles.llama_guard_prompt import llama3_skeleton, llama4_skeleton


def test_the_three_shapes_differ_where_the_checkpoints_do() -> None:
    small, large, four = llama3_skeleton(before_end=" "), llama3_skeleton(start=" "), llama4_skeleton()

    assert small.startswith("<|begin_of_text|><|start_header_id|>user")
    assert large.startswith(" <|begin_of_text|>")
    assert "violated categories. <|eot_id|>" in small
    assert "violated categories.<|eot_id|>" in large
    assert "according our safety policy" in small
    assert "according to our safety policy" in four
    assert "<BEGIN CONVERSATION>\nUser: {text}\\n\\n\n\n<END CONVERSATION>" in four
    assert "<BEGIN CONVERSATION>\n\nUser: {text}\n\n<END CONVERSATION>" in small


def test_no_prompt_goes_on_after_the_header_of_the_answer() -> None:
    for prompt in (llama3_skeleton(), llama4_skeleton()):
        assert prompt.endswith(("assistant<|end_header_id|>", "assistant<|header_end|>"))
        assert prompt.count("{categories}") == prompt.count("{text}") == 1
