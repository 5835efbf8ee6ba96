from collections.abc import Callable

import pytest


@pytest.fixture
def headers(token: Callable[..., str]) -> dict[str, str]:
    """A token with the scopes that jobs take."""
    return {"Authorization": f"Bearer {token(scope='jobs:read jobs:write')}"}
