"""Forms of a text in which hidden words become plain, each with the way back to the raw characters."""
