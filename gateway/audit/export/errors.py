"""What can keep an export from being made.

ExportError   it was not written, or not wholly; the message says what is missing
"""

from __future__ import annotations


class ExportError(Exception):
    """There is no export under the name that was asked for."""
