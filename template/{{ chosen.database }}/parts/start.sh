uv run poe migrate
