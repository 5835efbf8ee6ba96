"""Self-hosted API docs: Swagger UI at `/docs`, Redoc at `/redoc`.

`static/theme.css` and `static/logo.svg` are the theme: edit them.
"""
