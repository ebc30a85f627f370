"""Steps of a few rows as compiled loops: what decoding on processors is made of."""
