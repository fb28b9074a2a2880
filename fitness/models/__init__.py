"""Loading language models, and their attention: captured, or changed while they run."""
