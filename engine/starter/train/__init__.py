"""Everything that made `engine/starter/model`: the written corpus, the recipe, the trainer and the measurements."""
