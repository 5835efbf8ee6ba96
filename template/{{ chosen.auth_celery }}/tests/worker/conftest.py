from collections.abc import Callable

import pytest

from tests.worker.fixtures import ME


@pytest.fixture
def headers(token: Callable[..., str]) -> dict[str, str]:
    """A token with the scopes that jobs take."""
    return {"Authorization": f"Bearer {token(sub=ME, scope='jobs:read jobs:write')}"}
