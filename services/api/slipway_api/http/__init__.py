"""HTTP helpers independent of the services: bodies, content types, errors and deadlines."""
