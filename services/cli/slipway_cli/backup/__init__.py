"""Back up and restore the compose stack from the host: the archive format, the databases and the order of steps."""
