"""Places outside the machine that hold heads of the log, so that nobody on the machine can write another history."""
