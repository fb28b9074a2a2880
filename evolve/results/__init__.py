"""What is read out of runs: status, the library and its numbers, what prompts earned, and programs to put in heads."""
