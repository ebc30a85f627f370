"""Signed policies: what people approved, byte for byte, and which of it is in force."""
