"""Which programs are kept? The MAP-Elites grid, score tables and the reduction to a library."""
