"""The prediction log: store predictions and feedback, and read them."""
