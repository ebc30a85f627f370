"""Further processes that answer on the API socket, and how they ask the one that has the log: the lead.

Nothing here is started with `workers: 1`.
"""
