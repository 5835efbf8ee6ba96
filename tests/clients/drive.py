"""Drives a service by the client that openapi-python-client has generated from its description."""

import sys
from http import HTTPStatus
from uuid import UUID

from shop_client import AuthenticatedClient, Client
from shop_client.api.auth import log_in, log_out, read_me
from shop_client.api.health import ready
from shop_client.api.items import (
    change_item,
    create_item,
    delete_item,
    export_items,
    list_items,
    read_item,
)
from shop_client.api.jobs import create_job, follow_job, read_job, revoke_job
from shop_client.models import (
    Credentials,
    ItemPatch,
    ItemRead,
    ItemWrite,
    ListItemsSort,
    Problem,
    Steps,
)

address, email, password = sys.argv[1:]
anybody = Client(base_url=address)
assert ready.sync(client=anybody).status == "ok"
tokens = log_in.sync(client=anybody, body=Credentials(email=email, password=password))
user = AuthenticatedClient(base_url=address, token=tokens.access_token)
assert read_me.sync(client=user).email == email

refused = create_item.sync_detailed(client=anybody, body=ItemWrite(name="pen"))
assert refused.status_code == HTTPStatus.UNAUTHORIZED
assert isinstance(refused.parsed, Problem)
unknown = read_item.sync(UUID(int=1), client=user)
assert isinstance(unknown, Problem)
assert (unknown.title, unknown.status) == ("Not Found", 404)
odd = create_item.sync(client=user, body=ItemWrite(name=""))
assert odd.additional_properties["errors"][0]["pointer"] == "#/body/name"

pen = create_item.sync(client=user, body=ItemWrite(name="pen", quantity=2))
assert isinstance(pen, ItemRead)
assert pen.created_at.tzinfo
ink = create_item.sync(client=user, body=ItemWrite(name="ink"))
page = list_items.sync(client=user, sort=ListItemsSort("name"), limit=1)
assert [item.name for item in page.items] == ["ink"]
page = list_items.sync(client=user, sort=ListItemsSort("name"), limit=1, cursor=page.next_)
assert [item.id for item in page.items] == [pen.id]
changed = change_item.sync(pen.id, client=user, body=ItemPatch(quantity=5))
assert (changed.name, changed.quantity) == ("pen", 5)
late = change_item.sync(pen.id, client=user, body=ItemPatch(quantity=6), if_match='"1"')
assert late.status == HTTPStatus.PRECONDITION_FAILED
assert len(export_items.sync(client=anybody).splitlines()) == 2

job = create_job.sync(client=user, body=Steps(steps=3))
assert read_job.sync(job.id, client=user).state == "queued"
assert revoke_job.sync_detailed(job.id, client=user).status_code == HTTPStatus.NO_CONTENT
assert "event: revoked" in follow_job.sync(job.id, client=user)

for item in (pen, ink):
    assert delete_item.sync_detailed(item.id, client=user).status_code == HTTPStatus.NO_CONTENT
assert log_out.sync_detailed(client=user).status_code == HTTPStatus.NO_CONTENT
print("driven")
