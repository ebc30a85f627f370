"""What the forward pass does otherwise on a graphics card: reduced weights, experts by group, and paged attention."""
