from collections.abc import Callable

from fastapi import Request

# Tells which origins, beside their own, the docs pages may ask for something.
Origins = Callable[[Request], list[str]]
