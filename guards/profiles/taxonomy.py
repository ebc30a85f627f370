"""The hazard categories S1 to S14 in the meaning of Llama Guard 3 8B and Llama Guard 4.

Llama Guard 2 used the same codes for other hazards; its profile must bring its own table.
"""

from __future__ import annotations

HAZARDS = (
    ("S1", "Violent Crimes"),
    ("S2", "Non-Violent Crimes"),
    ("S3", "Sex-Related Crimes"),
    ("S4", "Child Sexual Exploitation"),
    ("S5", "Defamation"),
    ("S6", "Specialized Advice"),
    ("S7", "Privacy"),
    ("S8", "Intellectual Property"),
    ("S9", "Indiscriminate Weapons"),
    ("S10", "Hate"),
    ("S11", "Suicide & Self-Harm"),
    ("S12", "Sexual Content"),
    ("S13", "Elections"),
    ("S14", "Code Interpreter Abuse"),
)
"""(code, name), in the order of the codes' numbers."""
