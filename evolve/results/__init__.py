"""What is read out of runs: status, the library and its numbers, what prompts gained, and programs to put in heads."""
