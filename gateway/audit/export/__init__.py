"""Records of the log in the forms that other systems read. One way, and never the source of truth."""
