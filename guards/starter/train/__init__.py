"""How the starter guards came to be: recipe, text of our own, training, calibration and the table of their cards."""
