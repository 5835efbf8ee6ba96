from collections.abc import Callable

import pytest


@pytest.fixture
def headers(token: Callable[..., str]) -> dict[str, str]:
    """A token with the scope that changing items takes."""
    return {"Authorization": f"Bearer {token(scope='items:write')}"}
