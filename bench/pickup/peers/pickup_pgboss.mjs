// pg-boss: polled as often as it allows.
import PgBoss from "pg-boss";
import { dsn, measure, started } from "./pickups.mjs";

const boss = new PgBoss({ connectionString: dsn, supervise: false, schedule: false });
await boss.start();
await boss.createQueue("bench");
await boss.work("bench", { pollingIntervalSeconds: 0.5 }, async () => started());
await measure(() => boss.send("bench", {}), 1200);
await boss.stop({ graceful: false });
process.exit(0);
