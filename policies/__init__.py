"""What a compliance officer writes: YAML in, a pure decision out."""
