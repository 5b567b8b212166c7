// In: a session. Out: the service's rate with logs, metrics and traces on and off, and with several instances of which
// one consumes and all publish.
// Guaranteed: rounds are interleaved, counts are checked, and a variant that exports nothing although it should is told.

import { type Features, type VariantName, VARIANTS } from "./results.ts";
import { type Session, tell } from "./session.ts";
import type { Environment } from "./process.ts";
import { stage, timeRun, wrongCounts } from "./timed_run.ts";

const FULL = { rounds: 3, intents: 40_000, instanceRounds: 2 };
const QUICK = { rounds: 1, intents: 8000, instanceRounds: 1 };
const INSTANCES = [1, 2, 4];

export async function measureFeatures(session: Session): Promise<Features> {
  const { rounds, instanceRounds } = session.isQuick ? QUICK : FULL;
  const sink = await session.startStandIn("otlp_sink");
  await using _sink = sink.process;
  const names = Object.keys(VARIANTS) as VariantName[];
  const variants = names.map((name) => ({ name, rates: [] as number[] }));
  for (let round = 1; round <= rounds; round++) {
    for (const { name, rates } of variants) {
      session.progress(`round ${round} of ${rounds}: ${VARIANTS[name]}`);
      const before = await exportsTo(sink.url);
      const env = environmentOf(name, sink.url);
      rates.push(await rateOf(session, { env, what: VARIANTS[name], instances: 1 }));
      if ("OTEL_EXPORTER_OTLP_ENDPOINT" in env && await exportsTo(sink.url) === before) {
        session.problems.push(`features: nothing was exported with ${VARIANTS[name]}`);
      }
    }
  }
  const byInstances = INSTANCES.map((instances) => ({ instances, rates: [] as number[] }));
  for (let round = 1; round <= instanceRounds; round++) {
    for (const { instances, rates } of byInstances) {
      session.progress(`round ${round} of ${instanceRounds}: one consumer, ${instances} publishing`);
      rates.push(await rateOf(session, { env: {}, what: `${instances} instances`, instances }));
    }
  }
  return { variants, instances: byInstances };
}

function environmentOf(name: VariantName, endpoint: string): Environment {
  const only = (signal: "TRACES" | "METRICS") => ({
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    [signal === "TRACES" ? "OTEL_METRICS_EXPORTER" : "OTEL_TRACES_EXPORTER"]: "none",
  });
  switch (name) {
    case "default":
      return {};
    case "no_logs":
      return { NOTIFICATION_LOG_LEVEL: "error" };
    case "metrics":
      return { ...only("METRICS"), OTEL_METRIC_EXPORT_INTERVAL: "1000", OTEL_METRIC_EXPORT_TIMEOUT: "1000" };
    case "traces_1":
      return { ...only("TRACES"), OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" };
    case "traces_100":
      return { ...only("TRACES"), OTEL_BSP_MAX_QUEUE_SIZE: "20000" };
    default:
      return name satisfies never;
  }
}

async function rateOf(
  session: Session,
  { env, what, instances }: { env: Environment; what: string; instances: number },
): Promise<number> {
  const { intents: count } = session.isQuick ? QUICK : FULL;
  await using setting = await session.setting();
  await stage(setting, { count });
  await using stack = new AsyncDisposableStack();
  const processes = [];
  for (let n = 0; n < instances; n++) processes.push(stack.use(await session.start("service", setting, env)));
  const seconds = await timeRun(setting, { count, hasRoutes: true, processes });
  tell(session, `features, ${what}`, await wrongCounts(setting, { count, hasRoutes: true }));
  // What is still in its queues is exported at the end.
  await stack.disposeAsync();
  return count / seconds;
}

async function exportsTo(sink: string): Promise<number> {
  const response = await fetch(`${sink}/requests`);
  return Number(await response.text());
}
