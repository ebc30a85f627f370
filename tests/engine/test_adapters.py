"""A directory in PEFT's layout adds to a model what merging it would; a wrong one is refused and says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.adapter_config import MAX_RANK
from engine.adapters import FILE, MAX_BYTES, PREFIX, Adapter, load_adapter
from engine.errors import ModelRefused
from engine.kv_cache import KvCache
from engine.matrix import DTYPES, LAYS
from engine.model.low_rank import Adapted, Place
from engine.parallel.share import Share
from engine.runner import ModelRunner, Run
from engine.weights import load_weights
from tests.engine import adapting
from tests.engine.model_cases import Pair, prompt, reserved

EXACT = {"atol": 1e-4, "rtol": 0}
FIRST = PREFIX + "model.layers.0.self_attn.q_proj.lora_"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture
def written(pair: Pair, tmp_path: Path) -> Path:
    return adapting.write(tmp_path / "a", pair.oracle)


def loaded(pair: Pair, directory: Path) -> Adapter:
    return load_adapter(directory, pair.config, torch.float32)


def all_logits(pair: Pair, adapter: Adapter, ids: list[int]) -> Tensor:
    return pair.runner.step([Run(pair.slot(len(ids)), ids, range(len(ids)), adapter)])


@pytest.mark.parametrize(
    "case", ["llama", "llama_wide_heads", "llama_tied", "mistral", "qwen3", "granite", "scout", "maverick", "guard"]
)
def test_every_projection_of_every_family_is_as_if_merged(case: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path / "base" if case == "guard" else tmp_path, case)
    prefix = "language_model." if case == "guard" else ""
    directory = adapting.write(tmp_path / "adapter", pair.oracle, prefix=prefix)
    ids = prompt(40)
    expected = adapting.merged(pair.oracle, directory, prefix)(torch.tensor([ids]), use_cache=False).logits[0]

    found = all_logits(pair, loaded(pair, directory), ids)

    torch.testing.assert_close(found, expected.detach(), **EXACT)
    assert (found - pair.full(ids)).abs().max() > 0.01


@pytest.mark.parametrize("target", adapting.ALL)
def test_each_projection_alone_is_as_if_merged(target: str, pair: Pair, tmp_path: Path) -> None:
    directory = adapting.write(tmp_path, pair.oracle, (target,))
    ids = prompt(20)
    expected = adapting.merged(pair.oracle, directory)(torch.tensor([ids]), use_cache=False).logits[0]
    torch.testing.assert_close(all_logits(pair, loaded(pair, directory), ids), expected.detach(), **EXACT)


def test_a_stabilised_rank_is_scaled_by_its_root(pair: Pair, tmp_path: Path) -> None:
    directory = adapting.write(tmp_path, pair.oracle, rank=4, alpha=6, use_rslora=True)
    ids = prompt(20)
    expected = adapting.merged(pair.oracle, directory, factor=3.0)(torch.tensor([ids]), use_cache=False).logits[0]
    torch.testing.assert_close(all_logits(pair, loaded(pair, directory), ids), expected.detach(), **EXACT)


def test_ranks_may_differ_by_module(pair: Pair, tmp_path: Path) -> None:
    directory = adapting.write(tmp_path, pair.oracle, rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 3.0})
    ids = prompt(20)
    expected = adapting.merged(pair.oracle, directory)(torch.tensor([ids]), use_cache=False).logits[0]
    adapter = loaded(pair, directory)
    torch.testing.assert_close(all_logits(pair, adapter, ids), expected.detach(), **EXACT)
    assert adapter.rank == 4


def test_other_bytes_are_another_adapter(pair: Pair, tmp_path: Path) -> None:
    one, same, other = (
        loaded(pair, adapting.write(tmp_path / f"{index}", pair.oracle, seed=seed))
        for index, seed in enumerate((1, 1, 2))
    )
    assert one.digest == same.digest != other.digest


def refusal(pair: Pair, directory: Path) -> tuple[str, str]:
    with pytest.raises(ModelRefused) as caught:
        loaded(pair, directory)
    return caught.value.code, caught.value.problem


def changed(directory: Path, **tensors: Tensor | None) -> Path:
    """The adapter with tensors of its first module replaced, or taken away."""
    kept = adapting.tensors_of(directory)
    for side, tensor in tensors.items():
        del kept[f"{FIRST}{side}.weight"]
        if tensor is not None:
            kept[f"{FIRST}{side}.weight"] = tensor
    return adapting.sealed(directory, kept, adapting.config_of(directory))


def test_a_byte_that_changed_is_refused(pair: Pair, written: Path) -> None:
    raw = bytearray((written / FILE).read_bytes())
    raw[-1] ^= 1
    (written / FILE).write_bytes(raw)
    assert refusal(pair, written)[0] == "file_corrupt"


def test_a_directory_without_manifest_is_refused(pair: Pair, written: Path) -> None:
    (written / "manifest.json").unlink()
    assert refusal(pair, written)[0] == "manifest_missing"


def test_a_directory_without_tensors_is_refused(pair: Pair, written: Path) -> None:
    (written / FILE).unlink()
    assert refusal(pair, written)[0] == "file_missing"
    (written / FILE).write_bytes(b"nonsense")
    assert refusal(pair, written)[0] in ("file_corrupt", "weights_mismatch")


def test_half_a_module_is_refused_by_name(pair: Pair, written: Path) -> None:
    code, told = refusal(pair, changed(written, B=None))
    assert (code, f"`{FIRST}B.weight` is missing" in told) == ("weights_mismatch", True)


def test_a_module_without_tensors_is_refused_by_name(pair: Pair, written: Path) -> None:
    code, told = refusal(pair, changed(written, A=None, B=None))
    assert (code, f"`{FIRST}A.weight` is missing" in told) == ("weights_mismatch", True)


def test_no_tensor_at_all_is_refused(pair: Pair, written: Path) -> None:
    adapting.sealed(written, {}, adapting.config_of(written))
    assert refusal(pair, written)[0] == "weights_mismatch"


@pytest.mark.parametrize(
    "tensors",
    [
        {"A": torch.zeros(4, 33)},
        {"B": torch.zeros(32, 5)},
        {"A": torch.zeros(5, 32), "B": torch.zeros(32, 5)},
        {"A": torch.zeros(0, 32), "B": torch.zeros(32, 0)},
        {"A": torch.zeros(4, 32, 1)},
        {"A": torch.zeros(4, 32, dtype=torch.int32)},
    ],
)
def test_tensors_of_another_shape_or_kind_are_refused(tensors: dict[str, Tensor], pair: Pair, written: Path) -> None:
    code, told = refusal(pair, changed(written, **tensors))
    assert (code, "self_attn.q_proj" in told) == ("weights_mismatch", True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value: float, pair: Pair, written: Path) -> None:
    code, told = refusal(pair, changed(written, A=torch.full((4, 32), value)))
    assert (code, f"{FIRST}A.weight" in told) == ("not_finite", True)


def test_an_adapter_of_another_base_is_refused(pair: Pair, tmp_path: Path) -> None:
    other = Pair(tmp_path / "other", "llama_wide_heads")
    assert refusal(pair, adapting.write(tmp_path / "a", other.oracle))[0] == "weights_mismatch"
    longer = adapting.write(tmp_path / "b", pair.oracle)
    tensors = adapting.tensors_of(longer)
    tensors |= {name.replace(".2.", ".3."): tensor.clone() for name, tensor in tensors.items() if ".2." in name}
    code, told = refusal(pair, adapting.sealed(longer, tensors, adapting.config_of(longer)))
    assert (code, "model.layers.3." in told) == ("adapter_unsupported", True)


@pytest.mark.parametrize(
    "name",
    [
        "lm_head.lora_A.weight",
        "model.embed_tokens.lora_embedding_A",
        "model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "model.layers.0.feed_forward.experts.lora_A.weight",
        "vision_model.layers.0.self_attn.q_proj.lora_A.weight",
    ],
)
def test_what_no_adapter_is_added_to_is_refused_by_name(name: str, pair: Pair, written: Path) -> None:
    tensors = {**adapting.tensors_of(written), PREFIX + name: torch.zeros(4, 32)}
    code, told = refusal(pair, adapting.sealed(written, tensors, adapting.config_of(written)))
    assert (code, name.removesuffix(".lora_A.weight") in told) == ("adapter_unsupported", True)


def test_a_target_that_is_no_projection_is_refused_by_name(pair: Pair, written: Path) -> None:
    config = adapting.config_of(written)
    config["target_modules"].append("router")
    code, told = refusal(pair, adapting.sealed(written, adapting.tensors_of(written), config))
    assert (code, "`router`" in told) == ("adapter_unsupported", True)


def test_what_is_too_large_is_refused_before_it_is_read(pair: Pair, written: Path) -> None:
    with (written / FILE).open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    assert refusal(pair, written)[0] == "adapter_too_large"


def test_a_rank_above_the_limit_is_refused(pair: Pair, tmp_path: Path) -> None:
    assert refusal(pair, adapting.write(tmp_path, pair.oracle, rank=MAX_RANK + 1))[0] == "adapter_too_large"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_an_adapter_is_added_to_a_model_of_fewer_bits(precision: str, tmp_path: Path) -> None:
    """What is left of the difference to the merged model is the rounding of the base, and far less than the adapter."""
    pair = Pair(tmp_path / "base", "scout")
    directory = adapting.write(tmp_path / "adapter", pair.oracle)
    dtype = DTYPES[precision]
    weights = load_weights(tmp_path / "base", pair.config, dtype, LAYS[precision])
    adapter, cache = load_adapter(directory, pair.config, dtype), KvCache(pair.config, 256, dtype)
    ids = prompt(40)
    expected = adapting.merged(pair.oracle, directory)(torch.tensor([ids]), use_cache=False).logits[0].detach()
    runner = ModelRunner(pair.config, weights)

    found, plain = (runner.step([Run(reserved(cache, 40), ids, range(40), one)]) for one in (adapter, None))

    assert (found - expected).abs().mean() < 0.5 * (plain - expected).abs().mean()


@pytest.mark.parametrize("case", ["llama", "granite", "scout"])
def test_the_shares_of_several_processes_make_up_the_whole(case: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path, case)
    directory = adapting.write(tmp_path / "adapter", pair.oracle)
    whole = added(load_adapter(directory, pair.config, torch.float32))
    parts = [added(load_adapter(directory, pair.config, torch.float32, share=Share(rank, 2))) for rank in (0, 1)]

    for index, place in whole:
        one, other = (part[index, place] for part in parts)
        if place in (Place.OUT, Place.DOWN):
            found = torch.cat([one, other])
        else:
            sizes = (4, 2, 2) if place is Place.QKV else (1, 1)
            pieces = (
                part.split([part.shape[1] * size // sum(sizes) for size in sizes], dim=1) for part in (one, other)
            )
            found = torch.cat([half for both in zip(*pieces, strict=True) for half in both], dim=1)
        torch.testing.assert_close(found, whole[index, place], atol=1e-6, rtol=0)


def added(adapter: Adapter) -> dict[tuple[int, Place], Tensor]:
    """What each place adds, as the one matrix [inputs, outputs] that both thin ones stand for."""
    found = {}
    for index, layer in enumerate(adapter.layers):
        for place, low in layer.items():
            outputs = max(part.columns.stop for part in low.parts)
            eye_ii = torch.eye(low.down_ri.shape[1])
            found[index, place] = Adapted([(slice(None), layer)]).add(place, torch.zeros(len(eye_ii), outputs), eye_ii)
    return found
