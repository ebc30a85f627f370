"""Second places of the audit log: each gets the stored bytes after the local sync, in its own thread."""
