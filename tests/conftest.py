"""What holds for the whole run, however it was started."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A shell that starts the tests in the background has them ignore ctrl-C, which every process they start would inherit;
# some of these are ended that way.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that a change is judged and not the dice; GATEHOUSE_FUZZ=1 throws them anew.
settings.register_profile("repeatable", derandomize=True)
if not os.environ.get("GATEHOUSE_FUZZ"):
    settings.load_profile("repeatable")
