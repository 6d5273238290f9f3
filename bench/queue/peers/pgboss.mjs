// pg-boss: fetched and completed in batches.
import PgBoss from "pg-boss";
import { batch, count, drain, dsn } from "./phases.mjs";

const boss = new PgBoss({ connectionString: dsn, supervise: false, schedule: false, max: 1 });
await boss.start();
await boss.createQueue("bench");
for (let n = 0; n < count; n += 1000) {
  await boss.insert(Array.from({ length: Math.min(1000, count - n) }, () => ({ name: "bench", data: {} })));
}
const done = await drain();
let left = count;
while (left > 0) {
  const jobs = await boss.fetch("bench", { batchSize: batch });
  await boss.complete("bench", jobs.map((job) => job.id));
  left -= jobs.length;
}
done();
await boss.stop({ graceful: false });
process.exit(0);
