"""The networks themselves: pure functions and parameters, no scheduling and no HTTP."""
