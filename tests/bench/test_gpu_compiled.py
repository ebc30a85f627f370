"""All forms of the kernels compile for Hopper and fit; where Triton is, which needs no GPU for that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

compiled = pytest.importorskip("bench.gpu.compiled")
LISTING = """
.L_x_1:
        /*0000*/                   MOV R1, R2 ;
.L_x_2:
        /*0010*/                   FADD R1, R2, R3 ;
        /*0020*/                   FADD R1, R2, R3 ;
        /*0030*/              @P0 BRA `(.L_x_2) ;
        /*0040*/                   BRA `(.L_x_9) ;
.L_x_9:
        /*0050*/                   EXIT ;
"""


def test_a_loop_is_from_a_label_to_the_branch_back_to_it() -> None:
    assert compiled.longest_loop(LISTING) == 3


def test_all_kernels_compile_and_fit() -> None:
    """In a process of its own: this one may be the interpreter's."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ran = subprocess.run([sys.executable, "-m", "bench.gpu.compiled"], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "attention fp8" in ran.stdout
