"""The way to a language model: requests, budgets, stored calls. Knows no operator."""
