"""Guards that answer in words: prompt from the checkpoint's template, score from the probabilities of the verdict."""
