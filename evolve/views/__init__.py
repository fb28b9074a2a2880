"""What people see: console, report, pictures."""
