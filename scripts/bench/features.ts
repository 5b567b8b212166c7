/**
 * A session → the service's rate and CPU time with logs, metrics and traces on and off, and with several instances, of
 * which one consumes and all publish.
 *
 * Rounds are interleaved, and counts are checked. If a variant that should export exports nothing, this is a problem of
 * the run.
 */
import { type Features, type VariantName, VARIANTS } from "./results.ts";
import { addProblems, type Session } from "./session.ts";
import type { Cpu } from "./cpu.ts";
import type { BenchProcess, Environment } from "./process.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { stage, type TimedRun, timeRun, wrongCounts } from "./timed_run.ts";

const FULL = { rounds: 3, intents: 80_000, instanceRounds: 2 };
const QUICK = { rounds: 1, intents: 8000, instanceRounds: 1 };
const INSTANCES = [1, 2, 4];
/** A common setting; OpenTelemetry's default is 60 s. */
const SLOW_EXPORT_MS = 10_000;
/** The measurement starts this long before such an export. A full run takes longer than this. */
const BEFORE_EXPORT_MS = 2000;

export async function measureFeatures(session: Session): Promise<Features> {
  const { instanceRounds, ...byDefault } = session.isQuick ? QUICK : FULL;
  const rounds = session.options.rounds ?? byDefault.rounds;
  const sink = await session.startStandIn("otlp_sink");
  await using _sink = sink.process;
  const names = Object.keys(VARIANTS) as VariantName[];
  const variants = names.map((name) => ({ name, rates: [] as number[], cpu: [] as Cpu[] }));
  for (let round = 1; round <= rounds; round++) {
    for (const { name, rates, cpu } of variants) {
      session.progress(`round ${round} of ${rounds}: ${VARIANTS[name]}`);
      const run = await measureVariant(session, { name, sink: sink.url });
      rates.push(run.rate);
      cpu.push(run.cpu);
    }
  }
  const byInstances = INSTANCES.map((instances) => ({ instances, rates: [] as number[], cpu: [] as Cpu[] }));
  for (let round = 1; round <= instanceRounds; round++) {
    for (const { instances, rates, cpu } of byInstances) {
      session.progress(`round ${round} of ${instanceRounds}: one consumer, ${instances} publishing`);
      const run = await runOnce(session, { env: {}, what: `${instances} instances`, instances });
      rates.push(run.rate);
      cpu.push(run.cpu);
    }
  }
  return { variants, instances: byInstances };
}

async function measureVariant(
  session: Session,
  { name, sink }: { name: VariantName; sink: string },
): Promise<TimedRun> {
  const env = environmentOf(name, sink);
  let before = await exportsTo(sink);
  const judgeExports = async (when: string) => {
    if (await exportsTo(sink) > before) return;
    session.problems.push(`features: nothing was exported with ${VARIANTS[name]} ${when}`);
  };
  const run = await runOnce(session, {
    env,
    what: VARIANTS[name],
    instances: 1,
    beforeRun: async ([process]) => {
      if (name !== "metrics_10") return;
      // A run of some seconds then contains one export, which is about the frequency of a long run.
      await process!.until("it exported", async () => await exportsTo(sink) > before);
      await sleep(SLOW_EXPORT_MS - BEFORE_EXPORT_MS);
      before = await exportsTo(sink);
    },
    // A quick run may end before the export.
    afterRun: async () => {
      if (name === "metrics_10" && !session.isQuick) await judgeExports("while it was measured");
    },
  });
  // The service exports the rest of its queues when it stops.
  if ("OTEL_EXPORTER_OTLP_ENDPOINT" in env) await judgeExports("at all");
  return run;
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
    case "metrics_10":
      return { ...only("METRICS"), OTEL_METRIC_EXPORT_INTERVAL: String(SLOW_EXPORT_MS) };
    case "metrics_1":
      return { ...only("METRICS"), OTEL_METRIC_EXPORT_INTERVAL: "1000", OTEL_METRIC_EXPORT_TIMEOUT: "1000" };
    case "traces_1":
      return { ...only("TRACES"), OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" };
    case "traces_100":
      return { ...only("TRACES"), OTEL_BSP_MAX_QUEUE_SIZE: "20000" };
    default:
      return name satisfies never;
  }
}

interface Run {
  readonly env: Environment;
  readonly what: string;
  readonly instances: number;
  readonly beforeRun?: (processes: readonly BenchProcess[]) => Promise<void>;
  /** Called when everything is published and the processes still run. */
  readonly afterRun?: () => Promise<void>;
}

async function runOnce(session: Session, { env, what, instances, beforeRun, afterRun }: Run): Promise<TimedRun> {
  const { intents: count } = session.isQuick ? QUICK : FULL;
  await using setting = await session.setting();
  await stage(setting, { count });
  await using stack = new AsyncDisposableStack();
  const processes = [];
  for (let n = 0; n < instances; n++) processes.push(stack.use(await session.start("service", setting, env)));
  await beforeRun?.(processes);
  const run = await timeRun(setting, { count, hasRoutes: true, processes });
  await afterRun?.();
  addProblems(session, `features, ${what}`, await wrongCounts(setting, { count, hasRoutes: true }));
  return run;
}

async function exportsTo(sink: string): Promise<number> {
  const response = await fetch(`${sink}/requests`);
  return Number(await response.text());
}
