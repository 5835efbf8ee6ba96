"""A local OpenID provider for all tests, whose tokens the service accepts."""

from collections.abc import Callable, Iterator

import pytest

from tests.auth.oidc.provider import AUDIENCE, LocalProvider, listen

Token = Callable[..., str]


@pytest.fixture(scope="session", autouse=True)
def provider(unconfigured: None) -> Iterator[LocalProvider]:
    """What AUTH_ISSUER names in the tests."""
    with listen() as listener, pytest.MonkeyPatch.context() as patch:
        provider = LocalProvider(f"http://127.0.0.1:{listener.getsockname()[1]}", AUDIENCE)
        patch.setenv("AUTH_ISSUER", provider.issuer)
        patch.setenv("AUTH_AUDIENCE", provider.audience)
        patch.setenv("AUTH_ROLES_CLAIM", "roles")
        with provider.serving(listener):
            yield provider


@pytest.fixture
def token(provider: LocalProvider) -> Token:
    """Makes access tokens with any claims."""
    return provider.token
