// graphile-worker: as many jobs at once as a batch, fetched and completed in batches of that size.
import { Logger, run, runMigrations } from "graphile-worker";
import pg from "pg";
import { batch, count, drain, dsn } from "./phases.mjs";

const logger = new Logger(() => () => {});
const pool = new pg.Pool({ connectionString: dsn, max: batch + 2 });
await runMigrations({ pgPool: pool, logger });
await pool.query("select graphile_worker.add_jobs(array(select ('nothing', '{}', null, null, null, null, null, null)::graphile_worker.job_spec from generate_series(1, $1)))", [count]);
const done = await drain();
let left = count;
let finish;
const finished = new Promise((resolve) => { finish = resolve; });
const preset = { worker: { concurrentJobs: batch, localQueue: { size: batch }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } };
const runner = await run({
  pgPool: pool, logger, noHandleSignals: true, preset,
  taskList: { nothing: async () => { left -= 1; if (left === 0) finish(); } },
});
await finished;
const open = async () => Number((await pool.query("select count(*) from graphile_worker._private_jobs")).rows[0].count);
while (await open()) await new Promise((resolve) => setTimeout(resolve, 2));
done();
await runner.stop();
process.exit(0);
