"""What prompts gained in campaigns, and which of two is better."""
