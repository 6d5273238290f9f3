// graphile-worker: its own runner, listening.
import { Logger, run, runMigrations } from "graphile-worker";
import pg from "pg";
import { dsn, measure, started } from "./pickups.mjs";

const logger = new Logger(() => () => {});
const pool = new pg.Pool({ connectionString: dsn, max: 10 });
await runMigrations({ pgPool: pool, logger });
const runner = await run({
  pgPool: pool, logger, noHandleSignals: true, concurrency: 5, taskList: { nothing: async () => started() },
});
await measure(() => pool.query("select graphile_worker.add_job('nothing')"));
await runner.stop();
process.exit(0);
