"""Judges of text: guard models behind an HTTP endpoint, and rules that need no model."""
