"""The routes: they translate between HTTP and the parts that do the work, and nothing else."""
