"""Pictures for a model that sees: from the bytes of a file to rows beside the embeddings of its text."""
