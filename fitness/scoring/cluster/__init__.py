"""Work on other machines, through Dask: the connection, the pool, and what happens in a worker there."""
