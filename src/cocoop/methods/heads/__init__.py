"""Heads: classifiers on image features alone, with no text tower in the training loop."""
