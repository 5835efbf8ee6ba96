// Drives a service by the client that @hey-api/openapi-ts has generated from its description.
import {
  changeItem, createItem, createJob, deleteItem, exportItems, followItems, followJob, listItems,
  logIn, logOut, readItem, readJob, readMe, ready, revokeJob,
} from "./client";
import { client } from "./client/client.gen";

declare const process: { argv: string[]; exit(code: number): never };

function equal(found: unknown, wanted: unknown) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    throw new Error(`${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
}

async function drive(baseUrl: string, email: string, password: string) {
  let token: string | undefined;
  client.setConfig({ baseUrl, auth: () => token });
  equal((await ready()).data?.status, "ok");
  const refused = await createItem({ body: { name: "pen" } });
  equal([refused.response?.status, refused.error?.title], [401, "Unauthorized"]);
  token = (await logIn({ body: { email, password } })).data?.access_token;
  equal((await readMe()).data?.email, email);

  const unknown = await readItem({ path: { item_id: "00000000-0000-0000-0000-000000000001" } });
  equal([unknown.error?.title, unknown.error?.status], ["Not Found", 404]);
  const { data: pen } = await createItem({
    body: { name: "pen", quantity: 2 }, throwOnError: true,
  });
  const { data: ink } = await createItem({ body: { name: "ink" }, throwOnError: true });
  const first = await listItems({ query: { sort: "name", limit: 1 }, throwOnError: true });
  equal(first.data.items.map(({ name }) => name), ["ink"]);
  const query = { sort: "name", limit: 1, cursor: first.data.next } as const;
  equal((await listItems({ query })).data?.items.map(({ id }) => id), [pen.id]);
  const path = { item_id: pen.id };
  equal((await changeItem({ path, body: { quantity: 5 } })).data?.quantity, 5);
  const late = await changeItem({ path, body: { quantity: 6 }, headers: { "if-match": '"1"' } });
  equal(late.error?.status, 412);

  const { data: lines } = await exportItems({ parseAs: "text" });
  equal(typeof lines === "string" && lines.trim().split("\n").length, 2);
  const { stream: changes } = await followItems({ headers: { "last-event-id": 0 } });
  for await (const change of changes) {
    if (typeof change === "object" && change.item_id === pen.id) {
      equal(change.change, "created");
      break;
    }
  }

  const { data: job } = await createJob({ body: { steps: 3 }, throwOnError: true });
  equal((await readJob({ path: { job_id: job.id } })).data?.state, "queued");
  equal((await revokeJob({ path: { job_id: job.id } })).response?.status, 204);
  const states: unknown[] = [];
  for await (const each of (await followJob({ path: { job_id: job.id } })).stream) {
    states.push(typeof each === "object" && each.state);
  }
  equal(states, ["revoked"]);

  for (const { id } of [pen, ink]) {
    equal((await deleteItem({ path: { item_id: id } })).response?.status, 204);
  }
  equal((await logOut()).response?.status, 204);
}

const [address, email, password] = process.argv.slice(2);
drive(address, email, password).then(
  () => { console.log("driven"); process.exit(0); },
  (error) => { console.error(error); process.exit(1); },
);
