"""Sequence classifiers run without padding: whole texts of any length laid end to end, each attending to itself."""
