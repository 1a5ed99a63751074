// A session with a client from @hey-api/openapi-ts; compiled with --strict.

import { createHash } from "node:crypto";
import { client } from "./hey/client.gen.js";
import * as api from "./hey/sdk.gen.js";
import type { SftpConfig } from "./hey/types.gen.js";

const [url, key, sftp] = process.argv.slice(2) as [string, string, string];
client.setConfig({ baseUrl: url as never, auth: key });
const throwOnError = true;

function expect(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

const options = { filters: { price: { gte: 30 } }, max_rows_per_file: 1 };
const headers = { Prefer: "wait=60" };
const { data: created } = await api.createZipExport({ body: options, headers, throwOnError });
const { data: job } = await api.getJob({ path: { job_id: created.id }, headers, throwOnError });
const { data: file } = await api.downloadFile({ path: { job_id: job.id }, parseAs: "blob", throwOnError });
const content = new Uint8Array(await (file as Blob).arrayBuffer());
expect(createHash("sha256").update(content).digest("hex") === job.sha256, "the hash differs");

const config = JSON.parse(sftp) as SftpConfig;
const { data: platform } = await api.createPlatform({
  body: { name: "hey", platform_type: "sftp", config },
  throwOnError,
});
const path = { platform_id: platform.id };
expect((await api.testPlatform({ path, throwOnError })).data.ok, "the test failed");
const { data: schedule } = await api.createSchedule({
  body: { platform_id: platform.id, schedule_name: "hey", cron_expression: "@daily", options: { utf8_bom: false } },
  throwOnError,
});
await api.deleteSchedule({ path: { schedule_id: schedule.id }, throwOnError });
await api.deletePlatform({ path, throwOnError });
