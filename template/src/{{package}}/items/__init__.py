"""An example: copy what you like, then remove it with `new-service remove example`."""
