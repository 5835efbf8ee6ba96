"""Who sent a request, and what they may do: `CurrentUser` and `require` of `dependencies.py`."""
