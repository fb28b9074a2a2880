"""The commands, one file each: arguments in, a value out, printing here alone."""
