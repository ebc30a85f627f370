"""The audit log: append-only segments, an RFC 6962 tree over their bytes, and the reader that checks both."""
