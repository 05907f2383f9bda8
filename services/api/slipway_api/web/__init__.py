"""What answers requests: the gateway, the connections, the routes."""
