"""The module auth under attack: running services, real servers behind them, forged tokens."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from playwright.sync_api import Browser

from brokers import own_redis
from conftest import (
    COMMAND,
    ROOT,
    Required,
    Run,
    clean_environment,
    on_postgresql,
    on_terminal,
    questions_of,
    run,
)
from running import create, poe, served

AUTH, ME, ITEMS = "/api/v1/auth", "/api/v1/auth/me", "/api/v1/items"
PASSWORD = "a difference engine"  # noqa: S105  of the tests
OTHER = "an analytical engine"
SECONDS = 30
Json = dict[str, object]


@pytest.fixture(scope="module")
def members(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with accounts and items. Not to be changed."""
    folder = tmp_path_factory.mktemp("members")
    return create(folder, template, "members", "--with", "database,auth,example")


@pytest.fixture(scope="module")
def guests(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service for users of an OpenID provider. Not to be changed."""
    return create(tmp_path_factory.mktemp("guests"), template, "guests", "--with", "auth")


@pytest.fixture
def migrated(members: Path, url: str) -> str:
    """A database with the tables of `members`."""
    poe(members, "migrate", DATABASE_URL=url)
    return url


@pytest.fixture(scope="module")
def client(members: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of the service with accounts, on SQLite; nothing is limited."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'database.db'}"
    poe(members, "migrate", DATABASE_URL=url)
    many = {"AUTH_ACCOUNT_LIMIT": "1000/minute", "AUTH_CLIENT_LIMIT": "1000/minute"}
    with served(members, DATABASE_URL=url, **many) as client:
        yield client


def secret_of(project: Path) -> str:
    """What create has written into `.env`."""
    found = re.search(r"^AUTH_SECRET=(\S+)$", (project / ".env").read_text(), re.MULTILINE)
    assert found
    return found[1]


def register(client: httpx2.Client, email: str) -> Json:
    """A new account, logged in."""
    given = {"email": email, "password": PASSWORD}
    assert client.post(f"{AUTH}/register", json=given).status_code == 202
    return log_in(client, email)


def log_in(client: httpx2.Client, email: str, password: str = PASSWORD) -> Json:
    response = client.post(f"{AUTH}/login", json={"email": email, "password": password})
    assert response.status_code == 200, response.text
    return cast("Json", response.json())


def bearer(token: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refresh(client: httpx2.Client, tokens: Json) -> httpx2.Response:
    given = {"refresh_token": tokens["refresh_token"]}
    return client.post(f"{AUTH}/refresh", json=given)


def refused(response: httpx2.Response, status: int) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"


def encoded(content: Mapping[str, object] | bytes) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> Json:
    return cast("Json", json.loads(urlsafe_b64decode(part + "==")))


def by_hmac(header: Mapping[str, object], claims: Mapping[str, object], secret: bytes) -> str:
    """A token made by hand: libraries refuse to make such ones."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(str(header.get("alg")), "sha256")
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), digest))}"


def forged_tokens(
    genuine: str, secret: bytes, foreign: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Tokens that nobody may accept, made of a genuine one and of the key that signed it.

    `secret` is what an attacker would sign with: here the real one, so that what is refused is
    refused for the reason that the name says.
    """
    head, body, signature = genuine.split(".")
    header, claims = decoded(head), decoded(body)
    now = int(time.time())

    def changed(**changes: object) -> str:
        kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return by_hmac(header, kept, secret)

    def under(**changes: object) -> str:
        return by_hmac({**header, **changes}, claims, secret)

    own = OctKey.generate_key(256)
    return {
        "alg none": f"{encoded({**header, 'alg': 'none'})}.{body}.",
        "alg None": f"{encoded({**header, 'alg': 'None'})}.{body}.{signature}",
        "no alg": f"{encoded({'typ': 'at+jwt'})}.{body}.{signature}",
        "stripped signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "changed claims": f"{head}.{encoded({**claims, 'roles': ['admin']})}.{signature}",
        "another algorithm": under(alg="HS512"),
        "foreign key id": under(kid="another"),
        "path as key id": under(kid="../../../dev/null"),
        "empty file as key": by_hmac({**header, "kid": "/dev/null"}, claims, b""),
        "query as key id": under(kid="' UNION SELECT 'secret' --"),
        "list as key id": under(kid=["a"]),
        "number as key id": under(kid=0),
        "no key id": by_hmac({"alg": "HS256", "typ": "at+jwt"}, claims, secret),
        "own key in the header": by_hmac(
            {**header, "jwk": own.as_dict(private=True)}, claims, own.raw_value
        ),
        "keys elsewhere": by_hmac({**header, "jku": "http://127.0.0.1:1/keys"}, claims, b"x"),
        "critical extension": under(crit=["exp"]),
        "unencoded payload": under(b64=False, crit=["b64"]),
        "id token": under(typ="JWT"),
        "no type": by_hmac({k: v for k, v in header.items() if k != "typ"}, claims, secret),
        "expired": changed(exp=now - 3600),
        "never expires": changed(exp=None),
        "expires in words": changed(exp="tomorrow"),
        "not yet valid": changed(nbf=now + 3600),
        "issued later": changed(iat=now + 3600),
        "wrong issuer": changed(iss="https://elsewhere.example"),
        "no issuer": changed(iss=None),
        "wrong audience": changed(aud="another"),
        "no audience": changed(aud=None),
        "no subject": changed(sub=None),
        "guessed secret": by_hmac(header, claims, b"changethis"),
        **(foreign or {}),
    }  # fmt: skip


def accepted(client: httpx2.Client, tokens: Mapping[str, str]) -> list[str]:
    """The names of those that are let in, or that are not refused as they should be."""
    answers = {name: client.get(ME, headers=bearer(token)) for name, token in tokens.items()}
    return [
        name
        for name, answer in answers.items()
        if answer.status_code != 401
        or answer.headers["content-type"] != "application/problem+json"
        or not answer.headers["www-authenticate"].startswith("Bearer")
    ]


def test_no_forged_token_opens_an_account(client: httpx2.Client, members: Path) -> None:
    genuine = str(register(client, "forged@example.com")["access_token"])
    secret = secret_of(members).encode()
    head, body, _ = genuine.split(".")
    assert client.get(ME, headers=bearer(genuine)).status_code == 200
    by_hand = by_hmac(decoded(head), decoded(body), secret)
    assert client.get(ME, headers=bearer(by_hand)).status_code == 200

    assert accepted(client, forged_tokens(genuine, secret)) == []


def test_a_refresh_token_is_no_access_token(client: httpx2.Client) -> None:
    tokens = register(client, "mixed@example.com")

    assert accepted(client, {"refresh token": str(tokens["refresh_token"])}) == []


def test_a_refresh_token_used_twice_ends_the_login(client: httpx2.Client) -> None:
    first = register(client, "twice@example.com")
    second = refresh(client, first).json()

    refused(refresh(client, first), 401)

    refused(refresh(client, second), 401)
    refused(client.get(ME, headers=bearer(second["access_token"])), 401)


def test_of_parallel_refreshes_one_wins(members: Path, migrated: str) -> None:
    async def race(address: str, given: Json) -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=address, timeout=SECONDS, trust_env=False) as client:
            posts = (client.post(f"{AUTH}/refresh", json=given) for _ in range(20))
            return await asyncio.gather(*posts)

    limits = {"AUTH_ACCOUNT_LIMIT": "1000/minute"}
    with served(members, None, "--workers", "2", DATABASE_URL=migrated, **limits) as client:
        tokens = register(client, "race@example.com")
        given: Json = {"refresh_token": tokens["refresh_token"]}
        for _ in range(3):
            answers = asyncio.run(race(str(client.base_url), given))

            assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
            given = {"refresh_token": log_in(client, "race@example.com")["refresh_token"]}


def test_a_revoked_login_gets_nothing_more(client: httpx2.Client) -> None:
    stolen = register(client, "revoked@example.com")
    own = log_in(client, "revoked@example.com")
    listed = client.get(f"{AUTH}/sessions", headers=bearer(own["access_token"])).json()
    (other,) = [each["id"] for each in listed if not each["is_current"]]

    client.delete(f"{AUTH}/sessions/{other}", headers=bearer(own["access_token"]))

    refused(refresh(client, stolen), 401)
    refused(client.get(ME, headers=bearer(stolen["access_token"])), 401)
    assert client.get(ME, headers=bearer(own["access_token"])).status_code == 200


def test_nobody_touches_what_belongs_to_somebody_else(client: httpx2.Client) -> None:
    ada, eve = register(client, "ada@example.com"), register(client, "eve@example.com")
    headers = bearer(ada["access_token"])
    key = client.post(f"{AUTH}/keys", json={"name": "k"}, headers=headers).json()
    (login,) = client.get(f"{AUTH}/sessions", headers=headers).json()

    for path in (f"keys/{key['id']}", f"sessions/{login['id']}"):
        refused(client.delete(f"{AUTH}/{path}", headers=bearer(eve["access_token"])), 404)

    assert client.get(f"{AUTH}/keys", headers=bearer(eve["access_token"])).json() == []
    assert client.get(ME, headers=bearer(key["key"])).json()["email"] == "ada@example.com"


@on_postgresql
def test_secrets_rotate_while_logins_go_on(members: Path, migrated: str) -> None:
    old, new = secret_of(members), secrets.token_urlsafe(48)
    with served(members, DATABASE_URL=migrated) as client:
        tokens = register(client, "ada@example.com")
    with served(
        members, DATABASE_URL=migrated, AUTH_SECRET=new, AUTH_PREVIOUS_SECRETS=old
    ) as client:
        assert client.get(ME, headers=bearer(tokens["access_token"])).status_code == 200
        following = refresh(client, tokens).json()
    with served(members, DATABASE_URL=migrated, AUTH_SECRET=new) as client:
        refused(client.get(ME, headers=bearer(tokens["access_token"])), 401)
        assert client.get(ME, headers=bearer(following["access_token"])).status_code == 200


def guess(client: httpx2.Client, email: str, number: int) -> httpx2.Response:
    """A wrong password, from an address that is made up."""
    address = f"203.0.113.{number}"
    forged = {"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": f"for={address}"}
    given = {"email": email, "password": f"guess number {number}"}
    return client.post(f"{AUTH}/login", json=given, headers=forged)


@on_postgresql
def test_guessing_ends_soon_however_the_sender_is_forged(members: Path, migrated: str) -> None:
    with served(members, DATABASE_URL=migrated, AUTH_CLIENT_LIMIT="30/minute") as client:
        register(client, "ada@example.com")
        one = [guess(client, "ada@example.com", number) for number in range(15)]
        many = [guess(client, f"user{number}@example.com", number) for number in range(40)]

    # The login after the registration was an attempt, too.
    assert [each.status_code for each in one] == [401] * 9 + [429] * 6
    assert many[-1].status_code == 429
    assert 0 < int(many[-1].headers["retry-after"]) <= 60
    refused(many[-1], 429)
    assert sum(each.status_code == 401 for each in [*one, *many]) <= 30


@on_postgresql
def test_a_proxy_is_believed_once_it_is_named(members: Path, migrated: str) -> None:
    settings = {"AUTH_CLIENT_LIMIT": "2/minute", "APP_TRUSTED_PROXIES": "127.0.0.1"}
    with served(members, DATABASE_URL=migrated, **settings) as client:
        others = [guess(client, f"user{number}@example.com", number) for number in range(5)]
        same = [guess(client, f"user{number}@example.com", 99) for number in range(5)]

    assert {each.status_code for each in others} == {401}
    assert [each.status_code for each in same] == [401, 401, 429, 429, 429]


@pytest.fixture
def redis(required: Required) -> Iterator[str]:
    """The URL of a running Redis server."""
    with own_redis(required) as server:
        yield server.url


@on_postgresql
def test_all_processes_count_together_on_redis(members: Path, migrated: str, redis: str) -> None:
    settings = {"AUTH_LIMITS_URL": redis, "AUTH_ACCOUNT_LIMIT": "5/minute"}
    with (
        served(members, DATABASE_URL=migrated, **settings) as one,
        served(members, DATABASE_URL=migrated, **settings) as other,
    ):
        clients = [one, other] * 4
        answers = [guess(each, "ada@example.com", at) for at, each in enumerate(clients)]
        assert one.get("/health/ready").status_code == 200

    assert [each.status_code for each in answers] == [401] * 5 + [429] * 3


def test_strangers_cannot_find_out_who_has_an_account(client: httpx2.Client) -> None:
    register(client, "known@example.com")

    def ask(path: str, email: str) -> tuple[int, str, set[str]]:
        given = {"email": email, "password": OTHER}
        answer = client.post(f"{AUTH}/{path}", json=given)
        return answer.status_code, answer.text.replace(email, "EMAIL"), {*answer.headers}

    for path in ("login", "register"):
        assert ask(path, "known@example.com") == ask(path, "unknown@example.com")


@pytest.mark.parametrize("more", ["is_admin", "roles", "scopes", "id", "password_hash"])
def test_nobody_registers_as_more_than_they_are(client: httpx2.Client, more: str) -> None:
    given: Json = {"email": f"{more}@example.com".replace("_", "-"), "password": PASSWORD}

    refused(client.post(f"{AUTH}/register", json={**given, more: True}), 422)

    me = client.get(ME, headers=bearer(register(client, str(given["email"]))["access_token"]))
    assert me.json().items() >= {"is_admin": False, "scopes": []}.items()


@pytest.mark.parametrize(("length", "status"), [(129, 422), (1000, 422), (2_000_000, 413)])
@pytest.mark.parametrize("path", ["register", "login"])
def test_an_oversized_password_is_never_hashed(
    client: httpx2.Client, path: str, length: int, status: int
) -> None:
    given = {"email": "long@example.com", "password": "x" * length}

    refused(client.post(f"{AUTH}/{path}", json=given), status)


@on_postgresql
def test_items_are_changed_by_those_who_may(members: Path, migrated: str) -> None:
    with served(members, DATABASE_URL=migrated) as client:
        given = {"name": "pen"}
        refused(client.post(ITEMS, json=given), 401)
        tokens = register(client, "ada@example.com")
        refused(client.post(ITEMS, json=given, headers=bearer(tokens["access_token"])), 403)
        assert client.get(ITEMS).json()["items"] == []

        said = poe(members, "grant", "ada@example.com", "items:write", DATABASE_URL=migrated)
        granted = refresh(client, tokens).json()

        assert "items:write" in said
        created = client.post(ITEMS, json=given, headers=bearer(granted["access_token"]))
        assert created.status_code == 201


@on_postgresql
def test_no_line_of_the_log_has_a_secret(members: Path, migrated: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(members, log, DATABASE_URL=migrated, APP_LOG_LEVEL="debug") as client:
        first = register(client, "ada@example.com")
        second = refresh(client, first).json()
        key = client.post(
            f"{AUTH}/keys", json={"name": "k"}, headers=bearer(second["access_token"])
        ).json()
        client.get(ME, headers=bearer(key["key"]))
        client.get(ME, headers=bearer("key_" + "0" * 12 + "_guess"))
        client.post(f"{AUTH}/login", json={"email": "ada@example.com", "password": OTHER})
        refresh(client, first)

    said = log.read_text()
    for event in ("account registered", "login failed", "refresh token reused", "key created"):
        assert f'"event":"{event}"' in said
    tokens = [
        str(each[f"{kind}_token"]) for each in (first, second) for kind in ("access", "refresh")
    ]
    for secret in (PASSWORD, OTHER, "ada@example.com", key["key"], secret_of(members), *tokens):
        assert secret not in said


@pytest.mark.parametrize("value", ["", "changethis", "x" * 100])
def test_a_weak_or_missing_secret_stops_the_start_in_words(members: Path, value: str) -> None:
    python = members / ".venv" / "bin" / "python"
    env = {"AUTH_SECRET": value, "DATABASE_URL": f"sqlite:///{members.parent / 'unused.db'}"}

    stopped = run(
        *(python, "-m", "uvicorn", "members.main:app", "--port", "0"),
        cwd=members, env=env, check=False,
    )  # fmt: skip

    said = stopped.stdout + stopped.stderr
    assert stopped.returncode != 0
    assert "AUTH_SECRET: " in said
    assert "uv run poe secret" in said
    assert "Traceback" not in said
    assert len(poe(members, "secret").strip()) == 64


SCHEMATHESIS = """\
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]
"""


def schemathesis(client: httpx2.Client, token: object, folder: Path, *options: str) -> None:
    """Send what the service's description allows and forbids, with a token."""
    (folder / "schemathesis.toml").write_text(SCHEMATHESIS)
    done = run(
        Path(sys.executable).with_name("schemathesis"),
        "run", f"{client.base_url}/openapi.json", "--checks", "all", "--seed", "1",
        "--max-examples", "40", "--header", f"Authorization: Bearer {token}", *options,
        cwd=folder, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "Test cases" in done.stdout


def test_schemathesis_finds_nothing_in_accounts(client: httpx2.Client, tmp_path: Path) -> None:
    token = register(client, "fuzz@example.com")["access_token"]

    schemathesis(client, token, tmp_path, "--include-path-regex", "^/api/v1/auth/")


def readme_commands(project: Path, heading: str) -> list[str]:
    """The blocks of shell commands below a heading of the service's README."""
    section = (project / "README.md").read_text().partition(f"## {heading}\n")[2]
    return re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)


def shell(commands: str, address: str, **variables: str) -> list[Json]:
    """Run commands of a README against `address`; the JSON that they print."""
    script = commands.replace("localhost:8000", address.removeprefix("http://"))
    environment = clean_environment() | variables
    done = subprocess.run(
        ["bash", "-ec", script], env=environment, capture_output=True, text=True, check=True
    )
    answers: list[Json] = []
    rest = done.stdout
    while rest.strip():
        answer, end = json.JSONDecoder().raw_decode(rest.strip())
        answers.append(answer)
        rest = rest.strip()[end:]
    return answers


@on_postgresql
def test_the_readme_registers_and_logs_in_and_out(
    members: Path, migrated: str, required: Required
) -> None:
    required.program("curl", "apt-get install curl")
    begin, go_on = readme_commands(members, "Accounts")
    with served(members, DATABASE_URL=migrated) as client:
        address = str(client.base_url)
        _, tokens = shell(begin, address)
        told = {"TOKEN": str(tokens["access_token"]), "REFRESH": str(tokens["refresh_token"])}
        me, following = shell(go_on, address, **told)

        assert me["email"] == "ada@example.com"
        assert {*following} == {"access_token", "refresh_token", "token_type", "expires_in"}
        refused(refresh(client, following), 401)  # logged out


class Provider(ThreadingHTTPServer):
    """An OpenID provider of the tests' own, whose keys change and which can go away."""

    daemon_threads = True

    def __init__(self, port: int = 0, keys: list[RSAKey] | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Answers)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.keys = keys or [self.new_key()]
        self.fetched = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @staticmethod
    def new_key() -> RSAKey:
        return RSAKey.generate_key(2048, {"kid": secrets.token_hex(8), "use": "sig"})

    def token(self, key: RSAKey | None = None, **claims: object) -> str:
        key = key or self.keys[-1]
        now = int(time.time())
        standard: Json = {"iss": self.issuer, "aud": "guests", "sub": "ada", "exp": now + 300}
        header = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid or ""}
        return jwt.encode(header, {**standard, **claims}, key)

    def away(self) -> None:
        self.shutdown()
        self.server_close()


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        provider = cast("Provider", self.server)
        keys = KeySet([*provider.keys]).as_dict(private=False)
        metadata = {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "jwks_uri": f"{provider.issuer}/keys",
        }
        provider.fetched += self.path == "/keys"
        body = json.dumps(keys if self.path == "/keys" else metadata).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.away()


def settings_for(provider: Provider) -> dict[str, str]:
    return {"AUTH_ISSUER": provider.issuer, "AUTH_AUDIENCE": "guests"}


def test_no_forged_token_of_a_provider_is_accepted(guests: Path, provider: Provider) -> None:
    key = provider.keys[-1]
    stranger = RSAKey.generate_key(2048, {"kid": key.kid or ""})
    now = int(time.time())
    genuine = provider.token()
    public = key.as_pem(private=False)
    signed = {
        "another's key": provider.token(key=stranger),
        "signed, wrong issuer": provider.token(iss="https://elsewhere.example"),
        "signed, wrong audience": provider.token(aud="another"),
        "signed, expired": provider.token(exp=now - 3600),
        "signed, not yet valid": provider.token(nbf=now + 3600),
        "signed, id token": jwt.encode(
            {"alg": "RS256", "typ": "JWT", "kid": key.kid or ""},
            {"iss": provider.issuer, "aud": "guests", "sub": "ada", "exp": now + 300, "nonce": "n"},
            key,
        ),
        "public key as a secret": by_hmac(
            {"alg": "HS256", "typ": "at+jwt", "kid": key.kid},
            decoded(genuine.split(".")[1]),
            public,
        ),
    }
    with served(guests, **settings_for(provider)) as client:
        assert client.get(ME, headers=bearer(genuine)).json()["id"] == "ada"

        tokens = forged_tokens(genuine, public, signed)
        assert accepted(client, tokens) == []


def test_keys_rotate_and_unknown_ones_cause_no_flood(guests: Path, provider: Provider) -> None:
    with served(guests, **settings_for(provider)) as client:
        assert client.get("/health/ready").status_code == 200
        before = provider.fetched
        stranger = Provider.new_key()
        for _ in range(50):
            refused(client.get(ME, headers=bearer(provider.token(key=stranger))), 401)
        assert provider.fetched - before <= 1

        old = provider.token()
        provider.keys = [provider.new_key()]
        deadline = time.monotonic() + SECONDS  # the cool-down is a part of it
        while client.get(ME, headers=bearer(provider.token())).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        refused(client.get(ME, headers=bearer(old)), 401)


def test_a_provider_that_goes_away_and_comes_back(guests: Path, tmp_path: Path) -> None:
    first = Provider()
    port, keys, settings = first.server_address[1], first.keys, settings_for(first)
    token = first.token()
    with served(guests, **settings) as client:
        assert client.get(ME, headers=bearer(token)).status_code == 200
        first.away()
        assert client.get(ME, headers=bearer(token)).status_code == 200
    log = tmp_path / "log"
    with served(guests, log, **settings) as client:
        refused(client.get(ME, headers=bearer(token)), 503)
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").json()["failing"] == ["openid provider"]
        back = Provider(port, keys)
        deadline = time.monotonic() + SECONDS
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert client.get(ME, headers=bearer(token)).status_code == 200
        back.away()
    assert '"event":"OpenID provider unavailable"' in log.read_text()
    assert settings["AUTH_ISSUER"] in log.read_text()


def test_an_issuer_that_is_not_https_is_told_and_opens_nothing(
    guests: Path, provider: Provider, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    settings = {"AUTH_ISSUER": "http://id.example", "AUTH_AUDIENCE": "guests"}
    with served(guests, log, **settings) as client:
        refused(client.get(ME, headers=bearer(provider.token())), 503)
        assert client.get("/health/ready").status_code == 503
        assert client.get("/docs").status_code == 200

    assert "http://id.example/.well-known/openid-configuration is not https" in log.read_text()


@contextmanager
def local_provider(guests: Path) -> Iterator[str]:
    """The address of the provider that comes with the service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # On the port that the README names another test may have one already.
    script = f"from tests.auth.oidc import provider; provider.PORT = {port}; provider.main()"
    python = guests / ".venv" / "bin" / "python"
    with subprocess.Popen(
        [python, "-u", "-c", script], cwd=guests, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert f"http://127.0.0.1:{port}" in running.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


def test_the_readme_has_a_provider_to_try_things_with(guests: Path, required: Required) -> None:
    required.program("curl", "apt-get install curl")
    start, ask, use = readme_commands(guests, "Users")
    assert start.strip() == "uv run poe provider"
    with local_provider(guests) as issuer, served(guests, AUTH_ISSUER=issuer) as client:
        ask = ask.replace("localhost:9000", issuer.removeprefix("http://"))
        (tokens,) = shell(ask, str(client.base_url))
        (me,) = shell(use, str(client.base_url), TOKEN=str(tokens["access_token"]))

    assert me == {"id": "developer", "scopes": ["orders:write"], "roles": []}


def test_the_docs_page_signs_in_with_pkce(guests: Path, browser: Browser) -> None:
    complaints: list[str] = []
    with local_provider(guests) as issuer, served(guests, AUTH_ISSUER=issuer) as client:
        page = browser.new_page()
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" else None
        )
        page.goto(f"{client.base_url}/docs", wait_until="networkidle")
        page.get_by_role("button", name="Authorize").first.click()
        flow = page.locator(".auth-container", has_text="authorization_code with PKCE")
        assert flow.locator("input[type=text]").first.input_value() == "docs"
        with page.expect_popup() as window:
            flow.locator("button.authorize").click()
        flow.get_by_text("Logout").wait_for()
        page.locator(".modal-ux .close-modal").click()
        page.get_by_text("/api/v1/auth/me").first.click()
        page.get_by_role("button", name="Execute").click()
        answer = page.locator(".live-responses-table tbody .response-col_status").first
        answer.wait_for()

        assert answer.inner_text().startswith("200")
        assert window.value.is_closed()
        assert complaints == []
        page.close()


def test_schemathesis_finds_nothing_with_a_provider(
    guests: Path, provider: Provider, tmp_path: Path
) -> None:
    with served(guests, **settings_for(provider)) as client:
        schemathesis(client, provider.token(), tmp_path)


@pytest.mark.parametrize("project", ["members", "guests"])
def test_names_that_would_hide_a_package_of_the_service_are_refused(
    project: str, request: pytest.FixtureRequest
) -> None:
    """The list in copier.yml knows all that a service installs."""
    known = set(str(questions_of(ROOT).asked["names_of_dependencies"].default).split())
    service: Path = request.getfixturevalue(project)
    python = service / ".venv" / "bin" / "python"
    script = "import importlib.metadata as m; print(*m.packages_distributions())"
    importable = set(run(python, "-c", script).stdout.split())
    possible = {name for name in importable if re.fullmatch(r"[a-z][a-z0-9_]*", name)}

    assert possible
    assert possible - {project} <= known


@pytest.mark.parametrize(
    ("options", "modules", "auth_provider"),
    [
        (["--with", "auth"], ["auth"], "oidc"),
        (["--with", "database,auth"], ["database", "auth"], "accounts"),
        (
            ["--with", "database,auth", "--data", "auth_provider=oidc"],
            ["database", "auth"],
            "oidc",
        ),
        (["--preset", "api"], ["database", "auth", "example"], "accounts"),
    ],
)
def test_who_knows_the_users_follows_from_the_modules(
    options: list[str], modules: list[str], auth_provider: str, new_service: Run, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--no-lock", *options)

    answers = (tmp_path / "shop" / ".copier-answers.yml").read_text()
    assert f"auth_provider: {auth_provider}" in answers
    folders = {each.name for each in (tmp_path / "shop/src/shop/auth").iterdir() if each.is_dir()}
    assert folders == {auth_provider}
    assert all(f"- {module}" in answers for module in modules)


def test_accounts_at_the_prompt_bring_their_database(template: Path, tmp_path: Path) -> None:
    given = ("--data=description=x", "--data=python_version=3.11", "--data=ci=none", "--no-lock")
    terminal = on_terminal(
        "create", "shop", "--with", "auth", *given, "--template", str(template), cwd=tmp_path
    )
    terminal.expect("Who knows the users")
    terminal.send("\x1b[A\r")  # up, to accounts

    terminal.expect("auth needs database, which comes too")
    terminal.expect(r"auth \(accounts\)")
    terminal.expect("Create it")
    terminal.send("n\r")
    terminal.wait()


def test_a_service_is_tested_and_started_without_the_provider_of_the_user(
    new_service: Run, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--with", "auth")

    done = run(
        COMMAND, "validate", "--only", "test", "--only", "boot", "--json", cwd=tmp_path / "shop",
        env={"AUTH_ISSUER": "http://127.0.0.1:1", "AUTH_AUDIENCE": "of the user"},
    )  # fmt: skip

    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"passed"}
    assert "live, ready, docs" in checks[-1]["detail"]


def test_an_answer_that_nobody_asks_for_is_refused(new_service: Run) -> None:
    done = new_service("create", "shop", "--yes", "--data", "auth_provider=accounts", check=False)

    assert done.returncode == 2
    assert "auth_provider is not asked with these modules" in done.stderr


def test_accounts_bring_their_database(new_service: Run, tmp_path: Path) -> None:
    options = ("--with", "auth", "--data", "auth_provider=accounts", "--no-lock")

    told = new_service("create", "shop", "--yes", *options).stdout

    assert "auth needs database, which comes too" in told
    assert (tmp_path / "shop/src/shop/database").is_dir()
    assert "modules:\n- database\n- auth\n" in (tmp_path / "shop/.copier-answers.yml").read_text()
