"""The commands, a file each: they read what was typed, call what does the work, and print."""
