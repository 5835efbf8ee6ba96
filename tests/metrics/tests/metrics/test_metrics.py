from fastapi.testclient import TestClient


def test_it_counts(client: TestClient) -> None:
    assert client.get("/api/v1/metrics").json() == {"minute": 0}
