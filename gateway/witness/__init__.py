"""A witness for the audit logs of one site: cosigns heads that continue what it saw, and keeps what it saw."""
