"""How does a prompt become programs? Templates, one client, budgets, stored calls, and the reading of replies."""
