import json

from fastapi.testclient import TestClient

ITEMS = "/api/v1/items"


def test_export_has_a_line_for_each_item(client: TestClient) -> None:
    created = [client.post(ITEMS, json={"name": name}).json() for name in "abc"]

    response = client.get(f"{ITEMS}/export")

    assert response.headers["content-type"] == "application/jsonl"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert sorted(lines, key=lambda item: str(item["name"])) == created


def test_export_of_nothing_is_empty(client: TestClient) -> None:
    assert client.get(f"{ITEMS}/export").content == b""
