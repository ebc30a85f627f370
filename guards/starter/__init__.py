"""The small guards that ship with the project: two classifiers with their cards, thresholds and training recipe."""
