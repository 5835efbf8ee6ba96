"""An example: copy what you like, then remove it."""
