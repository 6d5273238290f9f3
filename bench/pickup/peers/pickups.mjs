// Enqueue one, wait until its handler starts, again; as in pickups.py.
export const [dsn, count] = [process.argv[2], Number(process.argv[3])];
const WARM = 3;
const now = () => performance.timeOrigin + performance.now();
let seen;

export const started = () => seen(now());

export async function measure(enqueue, longestPauseMs = 300) {
  const samples = [];
  for (let n = 0; n < WARM + count; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * (longestPauseMs - 20)));
    const start = new Promise((resolve) => { seen = resolve; });
    const before = now();
    await enqueue();
    samples.push((await start) - before);
  }
  process.stdout.write(JSON.stringify({ ms: samples.slice(WARM) }) + "\n");
}
