/**
 * Intents (`peer.ts`) → two BullMQ jobs for each intent → outbound entries.
 *
 * The jobs of a batch are added in one pipeline, which is not atomic. The job id is derived from the dedup key: BullMQ
 * ignores a job whose id still exists, and completed jobs are kept as long as the service keeps its records.
 */
import { Queue, Worker } from "bullmq";
import { deliveriesOf, type Delivery } from "./intents.ts";
import { runPeer } from "./peer.ts";

const QUEUE = "deliveries";
// Slightly the best of 50 to 2,000, with one to four workers. The limit is the CPU time of JavaScript: about 3.3 s for
// 20,000 intents with each setting.
const CONCURRENCY = 500;
// With 2,000, or without a limit, the results are about the same.
const MAX_WAITING = 8_000;
const KEPT_SECONDS = 720 * 60 * 60;

await runPeer({ maxWaiting: MAX_WAITING }, async ({ redis }, publish) => {
  const queue = new Queue<Delivery>(QUEUE, {
    connection: redis,
    defaultJobOptions: { attempts: 3, removeOnComplete: { age: KEPT_SECONDS } },
  });
  const worker = new Worker<Delivery>(QUEUE, (job) => publish(job.data), {
    connection: { ...redis, maxRetriesPerRequest: null },
    concurrency: CONCURRENCY,
  });
  queue.on("error", (error) => console.error(error));
  worker.on("error", (error) => console.error(error));
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);

  return {
    async accept(intents) {
      await queue.addBulk(
        deliveriesOf(intents).map((delivery) => ({
          name: delivery.channel,
          data: delivery,
          opts: { jobId: `${delivery.channel}/${delivery.dedupKey}` },
        })),
      );
    },
    async close() {
      await worker.close();
      await queue.close();
    },
  };
});
