"""How and where a generating checkpoint is run, as a value that checks itself. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from engine.choices import AS_STORED, KV_PRECISIONS, PRECISIONS
from engine.errors import ModelRefused


@dataclass(frozen=True, slots=True)
class Options:
    """How and where a checkpoint is run."""

    kv_bytes: int = 0
    """Memory for keys and values: of running sequences, and of beginnings that are kept. Zero: DEFAULT_KV_BYTES, or
    what a prompt of USUAL_POSITIONS needs if that is more; on a GPU a share of what the weights leave free."""
    precision: str = "fp32"
    """`auto`: fp32 on a processor, bf16 on a GPU."""
    is_deterministic: bool = False
    kv_precision: str = "auto"
    """How keys and values are kept: as the layers compute, `int8` or `fp8`."""
    offload: str = ""
    """`experts`: routed experts stay in their file."""
    resident_bytes: int = 0
    """How much of them may be in memory; zero: as much as the system has room for."""

    processes: int = 1
    """That share each layer between them."""
    device: str = "cpu"
    """One of DEVICES."""

    @property
    def only_cpu(self) -> str:
        """What is asked for that only processors do, if anything."""
        return "`offload`" if self.offload else "several `processes`" if self.processes > 1 else ""

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ModelRefused("parallel_unsupported", f"`processes` is {self.processes}, expected at least 1")
        if self.precision not in PRECISIONS["generate"]:
            told = f"a generating model runs in {' or '.join(PRECISIONS['generate'])}, not in `{self.precision}`"
            raise ModelRefused("precision_unsupported", told)
        if self.kv_precision not in (known := KV_PRECISIONS["generate"]):
            told = f"keys and values are kept as {' or '.join(known)}, not as `{self.kv_precision}`"
            raise ModelRefused("precision_unsupported", told)
        if self.offload and self.precision not in ("auto", *AS_STORED):
            told = f"experts that stay in their file run in {' or '.join(AS_STORED)}, not in `{self.precision}`"
            raise ModelRefused("offload_unsupported", told)

    @property
    def resident_bytes_each(self) -> int:
        """For each process; zero stays without a bound."""
        return -(-self.resident_bytes // self.processes)
