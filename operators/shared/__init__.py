"""What the offline operators share: the fit split, syntax trees, patterns and docstrings."""
