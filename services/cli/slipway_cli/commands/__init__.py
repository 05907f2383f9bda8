"""The commands, one module each. A command parses its arguments, calls the code that does the work, and prints."""
