"""Which records speak to which control of a framework: data files, and the report made from them and a log."""
