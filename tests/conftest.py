"""What holds for the whole run, however it was started."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background has them ignore ctrl-C, which every process they start would inherit;
# some of these are ended that way.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
