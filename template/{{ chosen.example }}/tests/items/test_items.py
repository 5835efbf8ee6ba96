import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

ITEMS = "/api/v1/items"


def create(client: TestClient, **fields: object) -> Response:
    response = client.post(ITEMS, json={"name": "pen", **fields})
    assert response.status_code == 201, response.text
    return response


def refused(response: Response, status: int) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_a_created_item_can_be_read(client: TestClient) -> None:
    created = create(client, name="pen", note="blue", quantity=3)

    read = client.get(created.headers["location"])

    assert read.json() == created.json()
    assert read.headers["etag"] == created.headers["etag"]
    assert read.json().items() >= {"name": "pen", "note": "blue", "quantity": 3}.items()


def test_replacing_sets_every_field(client: TestClient) -> None:
    url = create(client, note="blue", quantity=3).headers["location"]

    replaced = client.put(url, json={"name": "pencil"})

    assert replaced.json().items() >= {"name": "pencil", "note": "", "quantity": 0}.items()
    assert client.get(url).json() == replaced.json()


def test_changing_leaves_the_other_fields(client: TestClient) -> None:
    created = create(client, note="blue", quantity=3)

    changed = client.patch(created.headers["location"], json={"quantity": 4, "note": None})

    assert changed.json().items() >= {"name": "pen", "note": "blue", "quantity": 4}.items()
    assert changed.json()["created_at"] == created.json()["created_at"]
    assert changed.json()["updated_at"] > created.json()["updated_at"]


def test_a_deleted_item_is_gone(client: TestClient) -> None:
    url = create(client).headers["location"]

    assert client.delete(url).status_code == 204
    refused(client.get(url), 404)
    refused(client.delete(url), 404)


def test_a_name_is_taken_once(client: TestClient) -> None:
    create(client, name="pen")
    url = create(client, name="pencil").headers["location"]

    refused(client.post(ITEMS, json={"name": "pen"}), 409)
    refused(client.patch(url, json={"name": "pen"}), 409)
    assert client.get(url).json()["name"] == "pencil"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_outdated_entity_tag_changes_nothing(client: TestClient, method: str) -> None:
    created = create(client)
    url, outdated = created.headers["location"], created.headers["etag"]
    current = client.patch(url, json={"quantity": 1}).headers["etag"]
    body = None if method == "DELETE" else {"name": "late"}

    refused(client.request(method, url, json=body, headers={"If-Match": outdated}), 412)

    assert client.get(url).json()["name"] == "pen"
    for tags in (f'"x", {current}', "*"):
        taken = client.request(method, url, json=body, headers={"If-Match": tags})
        assert taken.status_code == (204 if method == "DELETE" else 200)
        if method == "DELETE":
            break


def names(client: TestClient, **query: str | int) -> list[str]:
    """All items, read page by page."""
    found: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **query} | ({"cursor": cursor} if cursor else {})
        page = client.get(ITEMS, params=params)
        assert page.status_code == 200, page.text
        found += [item["name"] for item in page.json()["items"]]
        cursor = page.json()["next"]
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("id", ["c", "a", "e", "b", "d"]),
        ("-id", ["d", "b", "e", "a", "c"]),
        ("name", ["a", "b", "c", "d", "e"]),
        ("-name", ["e", "d", "c", "b", "a"]),
        ("quantity", ["c", "e", "a", "b", "d"]),
        ("-quantity", ["d", "b", "a", "e", "c"]),
    ],
)
def test_pages_hold_each_item_once_in_order(
    client: TestClient, sort: str, expected: list[str]
) -> None:
    ids = {}
    for name, quantity in (("c", 1), ("a", 2), ("e", 1), ("b", 2), ("d", 3)):
        ids[name] = create(client, name=name, quantity=quantity).json()["id"]
    # Items of one millisecond may sort either way; a tie is told apart by the id.
    quantities = {"c": 1, "a": 2, "e": 1, "b": 2, "d": 3}
    if sort.endswith("id"):
        expected = sorted(ids, key=lambda name: ids[name], reverse=sort == "-id")
    if sort.endswith("quantity"):
        expected = sorted(
            ids, key=lambda name: (quantities[name], ids[name]), reverse=sort == "-quantity"
        )

    assert names(client, sort=sort) == expected


def test_an_item_that_comes_meanwhile_moves_none_to_another_page(client: TestClient) -> None:
    for name in "bdf":
        create(client, name=name)
    first = client.get(ITEMS, params={"sort": "name", "limit": 2}).json()
    create(client, name="a")

    second = client.get(ITEMS, params={"sort": "name", "limit": 2, "cursor": first["next"]})

    assert [item["name"] for item in second.json()["items"]] == ["f"]


def test_the_list_is_filtered(client: TestClient) -> None:
    for name in ("Pencil", "pen", "100%", "ink"):
        create(client, name=name)

    assert sorted(names(client, name_contains="PEN")) == ["Pencil", "pen"]
    assert names(client, name_contains="%") == ["100%"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"sort": "note"},
        {"cursor": "nonsense"},
        {"cursor": "WyJ4Il0="},
        {"cursor": "é"},
        {"unknown": "1"},
        {"name_contains": "\0"},
    ],
)
def test_a_wrong_query_is_refused(client: TestClient, query: dict[str, str | int]) -> None:
    refused(client.get(ITEMS, params=query), 422)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\0b"},
        {"name": "x", "quantity": 10**30},
        {"name": "x", "quantity": -1},
        {"name": "x", "quantity": "1"},
        {"name": "x", "quantity": True},
        {"name": "x", "quantity": 1.5},
        {"name": "x", "unknown": 1},
    ],
)
def test_a_wrong_item_is_refused(client: TestClient, body: dict[str, object]) -> None:
    refused(client.post(ITEMS, json=body), 422)
    assert names(client) == []


@pytest.mark.parametrize("content", ["[" * 50_000, "{", '{"name": "\\ud800"}', "\xff"])
def test_a_body_that_is_no_item_is_refused(client: TestClient, content: str) -> None:
    response = client.post(
        ITEMS, content=content.encode("latin-1"), headers={"Content-Type": "application/json"}
    )

    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == "application/problem+json"
