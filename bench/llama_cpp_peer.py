"""Runs the benchmark's mixture with llama.cpp, through llama-cpp-python, in a process and an environment of its own.

    python llama_cpp_peer.py CHECKPOINT PRECISION WORK.json THREADS

Writes the checkpoint as GGUF into its own directory (fp32, bf16, or int8 as q8_0), measures, and prints one JSON
object. Imports nothing of Gatehouse.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import gguf
import llama_cpp as api
import numpy as np
from gguf.constants import GGMLQuantizationType as Kind

KINDS = {"fp32": Kind.F32, "bf16": Kind.BF16, "int8": Kind.Q8_0}
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "feed_forward.router": "ffn_gate_inp", "feed_forward.shared_expert.gate_proj": "ffn_gate_shexp",
    "feed_forward.shared_expert.up_proj": "ffn_up_shexp", "feed_forward.shared_expert.down_proj": "ffn_down_shexp",
}  # fmt: skip


def tensors(path: Path) -> dict[str, Any]:
    """A safetensors file in fp32."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    found = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = np.frombuffer(raw[8 + size + begin : 8 + size + end], np.float32).reshape(entry["shape"])
    return found


def renamed(stored: dict[str, Any], layers: int) -> dict[str, Any]:
    out = {
        "token_embd": stored["model.embed_tokens.weight"],
        "output_norm": stored["model.norm.weight"],
        "output": stored["lm_head.weight"],
    }
    for layer in range(layers):
        base = f"model.layers.{layer}."
        for theirs, ours in NAMES.items():
            out[f"blk.{layer}.{ours}"] = stored[f"{base}{theirs}.weight"]
        gate, up = np.split(stored[base + "feed_forward.experts.gate_up_proj"].transpose(0, 2, 1), 2, axis=1)
        down = stored[base + "feed_forward.experts.down_proj"].transpose(0, 2, 1)
        for name, one in (("gate", gate), ("up", up), ("down", down)):
            out[f"blk.{layer}.ffn_{name}_exps"] = one
    return out


def write(checkpoint: Path, precision: str) -> Path:
    path = checkpoint / f"{precision}.gguf"
    config = json.loads((checkpoint / "config.json").read_text())
    config = config.get("text_config") or config
    writer = gguf.GGUFWriter(path, "llama4")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size_mlp"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(1)
    writer.add_interleave_moe_layer_step(1)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    stored = renamed(tensors(checkpoint / "model.safetensors"), config["num_hidden_layers"])
    for name, data in stored.items():
        wide = np.ascontiguousarray(data, np.float32)
        kind = KINDS[precision] if data.ndim > 1 and "gate_inp" not in name else Kind.F32
        packed = wide if kind is Kind.F32 else gguf.quants.quantize(wide, kind)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class Running:
    """A model and room for sixteen sequences."""

    def __init__(self, path: Path, threads: int) -> None:
        api.llama_log_set(QUIET, None)
        api.llama_backend_init()
        chosen = api.llama_model_default_params()
        self.model = api.llama_model_load_from_file(str(path).encode(), chosen)
        wanted = api.llama_context_default_params()
        wanted.n_ctx, wanted.n_batch, wanted.n_ubatch, wanted.n_seq_max = 16 * 512, 2048, 512, 16
        wanted.n_threads = wanted.n_threads_batch = threads
        self.context = api.llama_init_from_model(self.model, wanted)
        self.batch = api.llama_batch_init(2048, 0, 1)
        self.size = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))

    def clear(self) -> None:
        api.llama_memory_clear(api.llama_get_memory(self.context), True)

    def step(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Rows are token, position, sequence, and whether logits are wanted."""
        self.batch.n_tokens = len(rows)
        for at, (token, position, sequence, wanted) in enumerate(rows):
            self.batch.token[at], self.batch.pos[at], self.batch.n_seq_id[at] = token, position, 1
            self.batch.seq_id[at][0], self.batch.logits[at] = sequence, wanted
        if api.llama_decode(self.context, self.batch):
            raise RuntimeError("llama_decode failed")

    def prompt(self, ids: list[int], sequence: int = 0) -> None:
        self.step([(token, at, sequence, at == len(ids) - 1) for at, token in enumerate(ids)])

    def logits(self) -> list[float]:
        return [float(one) for one in api.llama_get_logits_ith(self.context, -1)[: self.size]]


QUIET = api.llama_log_callback(lambda *_: None)


def timed(call: Any) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - cpu


def main() -> None:
    checkpoint, precision, work_path, threads = sys.argv[1:]
    work = json.loads(Path(work_path).read_text())
    running = Running(write(Path(checkpoint), precision), int(threads))
    ids, steps = work["ids"], work["steps"]
    running.prompt(ids)
    told: dict[str, Any] = {"logits": running.logits(), "prefill": [], "decode 1": [], "decode 16": []}
    for _ in range(work["repeats"]):
        running.clear()
        told["prefill"].append(timed(lambda: running.prompt(ids)))
        for batch in (1, 16):
            running.clear()
            for sequence in range(batch):
                running.prompt(ids[sequence : sequence + work["context"]], sequence)
            rows = [[(ids[at], work["context"] + at, one, True) for one in range(batch)] for at in range(steps)]
            running.step(rows[0])
            told[f"decode {batch}"].append(timed(lambda rows=rows: [running.step(row) for row in rows[1:]]))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
