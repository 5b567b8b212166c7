/**
 * Intents (peer.ts) → two BullMQ jobs for each, and what the jobs publish.
 *
 * A batch's jobs are added in one pipeline, which is not atomic. The job id is made of the dedup key: BullMQ ignores a
 * job whose id it still has, and completed jobs are kept for as long as the service keeps its records.
 */
import { Queue, Worker } from "bullmq";
import { deliveriesOf, type Delivery } from "./intents.ts";
import { runPeer } from "./peer.ts";

const QUEUE = "deliveries";
// Of 50 to 2,000, and of one to four workers, the best by little: the JavaScript is what is full, and 20,000 intents
// take some 3.3 s of it with each.
const CONCURRENCY = 500;
// 2,000 and no bound at all come to about the same.
const MOST_WAITING = 8_000;
const KEPT_SECONDS = 720 * 60 * 60;

await runPeer({ mostWaiting: MOST_WAITING }, async ({ redis }, publish) => {
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
