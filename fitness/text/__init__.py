"""What a program sees of a text, and where texts come from."""
