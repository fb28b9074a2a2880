"""What the report shows of a run, as plain values; nothing here draws."""
