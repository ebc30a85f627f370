"""The audit log: one writer, hashed lines, signed heads; a record is on disk before what it permits happens."""
