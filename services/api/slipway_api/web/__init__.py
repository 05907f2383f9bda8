"""The web application: the gateway, connections and routes."""
