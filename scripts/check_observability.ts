/**
 * docs/observability → promtool's errors in the alert rules, their unit tests and the dashboard's queries, and one line
 * for every broken reference in the files (a missing component in a pipeline of the collector, a missing heading of the
 * runbook in an alert, a repeated panel id) and for every query that fails with the service's export interval. Exit
 * code 1 if there is an error.
 *
 * On Debian and Ubuntu, a missing promtool is installed for root and unpacked for other users. On other systems, the
 * exit code is 69 and the command to type is printed.
 */
import { parse, stringify } from "yaml";
import { succeeds } from "./command_output.ts";
import { dashboardQueries } from "../tests/support/prometheus.ts";
import { DownloadFailed } from "./servers/cache_folder.ts";
import { distribution, installServers, ServersMissing } from "./servers/install.ts";
import { unpackedPrograms, unpackPackage } from "./servers/unpack_package.ts";

const PROMETHEUS = { name: "prometheus", programs: ["promtool"] } as const;
const KINDS = ["receivers", "processors", "exporters"] as const;
/** Sections of the runbook that describe no incident. */
const ROUTINE = ["Steady-state verification", "Shutdown and planned restart"];
const FOLDER = new URL("../docs/observability/", import.meta.url);

if (import.meta.main) {
  try {
    const problems = await checkObservability();
    for (const problem of problems) console.error(problem);
    Deno.exit(problems.length === 0 ? 0 : 1);
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    console.error(error.message);
    Deno.exit(error.exitCode);
  }
}

export async function checkObservability(): Promise<string[]> {
  const read = async (file: string) => await Deno.readTextFile(new URL(file, FOLDER));
  return [
    ...await promtool("check", "rules", "alerts.yaml"),
    ...await promtool("test", "rules", "alerts_test.yaml"),
    ...await invalidQueries(await read("dashboard.json")),
    ...untestedAlerts(await read("alerts.yaml"), await read("alerts_test.yaml")),
    ...earlyAlerts(await read("alerts.yaml"), await read("collector.yaml")),
    ...missingHeadings(await read("alerts.yaml"), await read("../runbook.md")),
    ...incidentsWithoutEnd(await read("../runbook.md")),
    ...unmatchedComponents(await read("collector.yaml")),
    ...repeatedPanels(await read("dashboard.json")),
    ...shortRates(await read("dashboard.json")),
  ];
}

async function promtool(...args: string[]): Promise<string[]> {
  const command = await findPromtool();
  const { success, stdout, stderr } = await new Deno.Command(command, { args, cwd: FOLDER }).output();
  const decoder = new TextDecoder();
  return success ? [] : [`promtool ${args.join(" ")}:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`];
}

async function findPromtool(): Promise<string> {
  const unpacked = `${unpackedPrograms(PROMETHEUS.name)}/promtool`;
  for (const command of ["promtool", unpacked]) if (await succeeds(command, "--version")) return command;
  try {
    if (Deno.uid() !== 0 && await distribution() === "debian") await unpackPackage(PROMETHEUS);
    else await installServers(["--no-install-recommends", PROMETHEUS.name]);
  } catch (error) {
    if (!(error instanceof ServersMissing || error instanceof DownloadFailed)) throw error;
    throw new ServersMissing(
      `${error instanceof DownloadFailed ? `${error.message}\n` : ""}` +
        "Missing: promtool, which checks the alert rules. It comes with Prometheus. Type:\n" +
        "  sudo apt-get install -y --no-install-recommends prometheus    (Debian, Ubuntu)\n" +
        "  brew install prometheus                                       (macOS)",
    );
  }
  for (const command of ["promtool", unpacked]) if (await succeeds(command, "--version")) return command;
  throw new Error("promtool is missing, even after the installation");
}

/**
 * promtool cannot check single queries, so each query becomes a rule, in which a fixed duration replaces Grafana's
 * variables.
 */
async function invalidQueries(dashboard: string): Promise<string[]> {
  const queries = dashboardQueries(dashboard).filter(({ where }) => !where.startsWith("variable "));
  const rules = queries.map(({ expr }, index) => ({
    record: `dashboard:query_${index}`,
    expr: expr.replaceAll(/\$__(rate_interval|range)\b/g, "5m"),
  }));
  const file = await Deno.makeTempFile({ prefix: "notification-dashboard-", suffix: ".yaml" });
  try {
    await Deno.writeTextFile(file, stringify({ groups: [{ name: "dashboard", rules }] }));
    return await promtool("check", "rules", file);
  } finally {
    await Deno.remove(file);
  }
}

interface Rule {
  readonly alert: string;
  readonly for?: string;
  readonly annotations: { readonly runbook_url: string };
}

interface Rules {
  readonly groups: readonly { rules: readonly Rule[] }[];
}

/**
 * Returns alerts that could fire because of the last metrics of an ended instance, which the collector still exports
 * for some time.
 */
function earlyAlerts(rules: string, collector: string): string[] {
  const { exporters } = parse(collector) as { exporters: { prometheus: { metric_expiration: string } } };
  const expiration = exporters.prometheus.metric_expiration;
  return (parse(rules) as Rules).groups.flatMap((group) => group.rules)
    .filter((rule) => rule.for !== undefined && seconds(rule.for) <= seconds(expiration))
    .map((rule) =>
      `alerts.yaml: ${rule.alert} waits for ${rule.for}, but ended instances are exported for ${expiration}`
    );
}

function seconds(duration: string): number {
  const units = { s: 1, m: 60 } as const;
  const [, number, unit] = /^(\d+)([sm])$/.exec(duration) ?? [];
  if (number === undefined) throw new Error(`${duration} should be in seconds or minutes`);
  return Number(number) * units[unit as "s" | "m"];
}

interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test?: readonly { readonly alertname: string; readonly exp_alerts?: readonly unknown[] }[];
  }[];
}

/**
 * Exported for its test. Returns the alerts that no test sets off: one that must not fire also passes with a rule that
 * can't.
 */
export function untestedAlerts(rules: string, tests: string): string[] {
  const setOff = new Set(
    (parse(tests) as RuleTests).tests.flatMap(({ alert_rule_test = [] }) => alert_rule_test)
      .filter(({ exp_alerts = [] }) => exp_alerts.length > 0)
      .map(({ alertname }) => alertname),
  );
  return (parse(rules) as Rules).groups.flatMap((group) => group.rules)
    .filter(({ alert }) => !setOff.has(alert))
    .map(({ alert }) => `alerts_test.yaml: ${alert} has no test that sets it off`);
}

function missingHeadings(rules: string, runbook: string): string[] {
  const headings = new Set(
    [...runbook.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!.toLowerCase().replaceAll(/[^\w\s-]/g, "").replaceAll(/\s/g, "-")
    ),
  );
  return (parse(rules) as Rules).groups.flatMap((group) => group.rules)
    .filter(({ annotations }) => !headings.has(/^docs\/runbook\.md#(.*)$/.exec(annotations.runbook_url)?.[1] ?? ""))
    .map(({ alert, annotations }) => `alerts.yaml: ${alert} leads to ${annotations.runbook_url}, which does not exist`);
}

/** Returns the incidents in the runbook that do not describe how an operator detects their end. */
function incidentsWithoutEnd(runbook: string): string[] {
  return runbook.split(/^## /m).slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section] as const)
    .filter(([heading, section]) => !ROUTINE.includes(heading) && !section.includes("**It is over when**"))
    .map(([heading]) => `runbook.md: ${heading} has no "It is over when"`);
}

type Components = Readonly<Record<string, unknown>>;
type Kind = typeof KINDS[number];

function unmatchedComponents(text: string): string[] {
  const collector = parse(text) as Readonly<Record<Kind | "extensions", Components>> & {
    readonly service: {
      readonly extensions: readonly string[];
      readonly pipelines: Readonly<Record<string, Readonly<Record<Kind, readonly string[]>>>>;
    };
  };
  const { extensions, pipelines } = collector.service;
  const problems = extensions.filter((name) => !(name in collector.extensions));
  for (const signal of ["metrics", "traces", "logs"]) if (!(signal in pipelines)) problems.push(`pipeline ${signal}`);
  for (const kind of KINDS) {
    const used = new Set(Object.values(pipelines).flatMap((pipeline) => pipeline[kind]));
    problems.push(...[...used].filter((name) => !(name in collector[kind])));
    problems.push(...Object.keys(collector[kind]).filter((name) => !used.has(name)));
  }
  return problems.map((name) => `collector.yaml: ${name} is used but not defined, or defined but not used`);
}

function repeatedPanels(json: string): string[] {
  const { panels } = JSON.parse(json) as { panels: readonly { id: number; title: string }[] };
  return panels.filter(({ id }, index) => panels.findIndex((panel) => panel.id === id) !== index)
    .map(({ id, title }) => `dashboard.json: the panel "${title}" has the id ${id} of another`);
}

/**
 * With Grafana's default scrape interval of 15 s, `$__rate_interval` is 1m. The service exports one sample in this
 * time, which is too few for a rate.
 */
function shortRates(json: string): string[] {
  const { panels } = JSON.parse(json) as {
    panels: readonly { title: string; targets?: readonly { expr: string; interval?: string }[] }[];
  };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.filter(({ expr, interval }) => /\b(rate|increase)\(/.test(expr) && interval !== "1m")
      .map(({ expr }) => `dashboard.json: "${title}" has no interval of 1m for ${expr}`)
  );
}
