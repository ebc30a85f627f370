"""Guards without a model. Each is deterministic, linear in the text and returns spans."""
