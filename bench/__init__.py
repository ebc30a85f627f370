"""Measurements of Gatehouse: what they measure, how to run them and what came out stands in bench/README.md."""
