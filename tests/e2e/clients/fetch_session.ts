// A session with a client from openapi-typescript and openapi-fetch; compiled with --strict.

import { createHash } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

const [url, key, sftp] = process.argv.slice(2) as [string, string, string];
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

function expect(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

function good<Data>(answer: { data?: Data; error?: Schemas["Problem"] }): NonNullable<Data> {
  if (answer.error !== undefined) throw new Error(`${answer.error.code}: ${answer.error.detail}`);
  expect(answer.data !== undefined && answer.data !== null, "there is no body");
  return answer.data as NonNullable<Data>;
}

async function finished(job_id: string): Promise<Schemas["Job"]> {
  for (;;) {
    const header = { Prefer: "wait=30" };
    const job = good(await api.GET("/api/v1/exports/jobs/{job_id}", { params: { path: { job_id }, header } }));
    if (job.status !== "processing") return job;
  }
}

async function checkFile(job: Schemas["Job"]): Promise<void> {
  expect(job.status === "completed", `the job is ${job.status}`);
  const params = { path: { job_id: job.id } };
  const answer = await api.GET("/api/v1/exports/jobs/{job_id}/download", { params, parseAs: "arrayBuffer" });
  const content: ArrayBuffer = good(answer);
  expect(content.byteLength === job.file_size, "the size differs");
  expect(createHash("sha256").update(new Uint8Array(content)).digest("hex") === job.sha256, "the hash differs");
}

// Create, wait, download.
const filters: Schemas["CsvOptions"]["filters"] = { price: { gte: 30 }, sku: { in: ["MH01", "WB04"] } };
const accepted = good(await api.POST("/api/v1/exports/csv/products", { body: { filters, delimiter: ";" } }));
await checkFile(await finished(accepted.id));
const waited = await api.POST("/api/v1/exports/excel/products", {
  params: { header: { Prefer: "wait=30", "Idempotency-Key": `fetch-${Date.now()}` } },
  body: { include_sheets: ["products"] },
});
await checkFile(await finished(good(waited).id));

// A platform: its type decides which config it has.
const config = JSON.parse(sftp) as Schemas["SftpConfig"];
const platform_type = "sftp";
const made = good(await api.POST("/api/v1/exports/platforms", { body: { name: "fetch", platform_type, config } }));
const path = { platform_id: made.id };
expect(good(await api.POST("/api/v1/exports/platforms/{platform_id}/test", { params: { path } })).ok, "the test failed");
const platform = good(await api.GET("/api/v1/exports/platforms/{platform_id}", { params: { path } }));
if (platform.platform_type !== "sftp") throw new Error("the type differs");
expect(platform.config.host === config.host && platform.config.password === "********", "the config differs");

// A schedule: its format decides which options it has.
const body: Schemas["NewSchedule"] = {
  platform_id: made.id,
  schedule_name: "fetch",
  cron_expression: "0 6 * * MON-FRI",
  timezone: "Europe/Paris",
  format: "json",
  options: { json_lines: true, include_fields: ["sku", "price"] },
};
const scheduled = good(await api.POST("/api/v1/exports/schedules", { body }));
const of = { params: { path: { schedule_id: scheduled.id } } };
const schedule = good(await api.GET("/api/v1/exports/schedules/{schedule_id}", of));
expect("format" in schedule && schedule.format === "json" && schedule.options.json_lines === true, "the options differ");
const run = good(await api.POST("/api/v1/exports/schedules/{schedule_id}/run", of));
const runs = good(await api.GET("/api/v1/exports/schedules/{schedule_id}/runs", of));
expect(runs.items[0]?.id === run.id && runs.next_cursor === null, "the runs differ");

// A problem.
const missing = { path: { job_id: "00000000-0000-4000-8000-000000000000" } };
const { error } = await api.GET("/api/v1/exports/jobs/{job_id}", { params: missing });
expect(error?.code === "job_not_found", "there is no problem");

await api.DELETE("/api/v1/exports/schedules/{schedule_id}", of);
await api.DELETE("/api/v1/exports/platforms/{platform_id}", { params: { path } });
