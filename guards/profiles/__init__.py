"""What Gatehouse knows of each guard model: one file a model, data only; known.py lists them."""
