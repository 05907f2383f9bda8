"""HTTP without a service behind it: bodies, content types, errors, deadlines."""
