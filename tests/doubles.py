"""Small stand-ins for the seams of the system. They script behaviour; they never patch it."""
