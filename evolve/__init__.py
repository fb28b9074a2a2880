"""How does a campaign run? Configuration, loop, store, command line, console and report."""
