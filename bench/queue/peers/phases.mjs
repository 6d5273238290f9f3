// The two phases of every contender, as in phases.py.
import { createInterface } from "node:readline";

export const [dsn, count, batch] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const cpuSeconds = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; };
const say = (facts) => process.stdout.write(JSON.stringify(facts) + "\n");

export async function drain() {
  say({ ready: true });
  const lines = createInterface({ input: process.stdin });
  await new Promise((resolve) => lines.once("line", resolve));
  lines.close();
  const started = process.hrtime.bigint(), cpu = cpuSeconds();
  return () => say({ count, seconds: Number(process.hrtime.bigint() - started) / 1e9, cpu_s: cpuSeconds() - cpu });
}
