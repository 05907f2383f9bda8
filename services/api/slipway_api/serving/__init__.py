"""Loading, keeping and running models. Nothing here knows of HTTP."""
