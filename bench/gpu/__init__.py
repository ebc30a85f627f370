"""Benchmarks that need a CUDA device. They log nothing and hold no answer to a grammar, so both may be missing."""

from bench.bare import GRAMMARS, stand_in

stand_in(*GRAMMARS)
