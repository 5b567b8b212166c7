/**
 * Exported metrics, and the files of docs/observability → the series that Prometheus makes of the metrics, and the
 * series and labels in the queries of the files.
 *
 * Names are composed by the rules of OpenTelemetry's "Prometheus and OpenMetrics Compatibility", with suffixes, as the
 * Collector's exporter and Prometheus's own OTLP receiver do by default.
 */
import { parse } from "yaml";
import type { ReceivedMetric } from "./otlp_decode.ts";

/** Label names by series. */
export type Series = ReadonlyMap<string, ReadonlySet<string>>;

export interface Query {
  readonly where: string;
  readonly expr: string;
}

const UNITS: Readonly<Record<string, string>> = { s: "seconds", ms: "milliseconds", By: "bytes", "1": "" };
/** The labels of every series: from the resource, by the Collector's configuration. */
const RESOURCE_LABELS = ["job", "instance", "deployment_environment_name", "service_version"];
const WORDS = new Set([
  "by",
  "sum",
  "max",
  "rate",
  "increase",
  "count",
  "absent",
  "last_over_time",
  "unless",
  "and",
  "or",
  "histogram_quantile",
  "label_values",
]);

export function seriesOf(metrics: readonly ReceivedMetric[]): Series {
  const series = new Map<string, Set<string>>();
  for (const metric of metrics) {
    const labels = new Set(RESOURCE_LABELS);
    for (const { attributes } of metric.points) {
      for (const name of Object.keys(attributes)) labels.add(name.replaceAll(/\W/g, "_"));
    }
    const name = prometheusName(metric);
    if (metric.kind !== "histogram") series.set(name, labels);
    else {
      for (const suffix of ["count", "sum"]) series.set(`${name}_${suffix}`, labels);
      series.set(`${name}_bucket`, new Set([...labels, "le"]));
    }
  }
  return series;
}

function prometheusName({ name, unit, kind }: ReceivedMetric): string {
  const tokens = name.split(/[^A-Za-z0-9]+/);
  const suffix = /[{}]/.test(unit) ? "" : UNITS[unit] ?? unit;
  if (suffix !== "" && !tokens.includes(suffix)) tokens.push(suffix);
  if (kind === "counter") tokens.push("total");
  if (kind === "gauge" && unit === "1") tokens.push("ratio");
  return tokens.join("_");
}

export function dashboardQueries(json: string): Query[] {
  interface Panel {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }
  const { panels, templating } = JSON.parse(json) as {
    panels: readonly Panel[];
    templating: { list: readonly { name: string; query: string | { query: string } }[] };
  };
  const variables = templating.list.flatMap(({ name, query }) =>
    typeof query === "string" ? [] : [{ where: `variable ${name}`, expr: query.query }]
  );
  return [
    ...variables,
    ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: title, expr }))),
  ];
}

export function ruleQueries(yaml: string): Query[] {
  const { groups } = parse(yaml) as { groups: readonly { rules: readonly { alert: string; expr: string }[] }[] };
  return groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => ({ where: alert, expr })));
}

/**
 * The names and labels of a query that no series has, as readable texts; a label counts if one of the query's series
 * has it.
 */
export function unknownIn({ where, expr }: Query, series: Series): string[] {
  const text = expr.replaceAll(/"[^"]*"/g, '""').replaceAll(/\[[^\]]*\]/g, "");
  const inBraces = [...text.matchAll(/\{([^}]*)\}/g)].flatMap(([, matchers]) =>
    matchers!.match(/[a-z_]\w*(?=\s*[=!])/g) ?? []
  );
  const grouped = [...text.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names]) =>
    names!.split(",").map((name) => name.trim())
  );
  const rest = text.replaceAll(/\{[^}]*\}/g, "").replaceAll(/\bby \([^)]*\)/g, "");
  const words = (rest.match(/[a-zA-Z_]\w*/g) ?? []).filter((word) => !WORDS.has(word));
  const names = words.filter((word) => word.startsWith("notification_"));
  const labels = [...inBraces, ...grouped, ...words.filter((word) => !word.startsWith("notification_"))];
  const known = new Set(names.flatMap((name) => [...series.get(name) ?? []]));
  return [
    ...(names.length === 0 ? [`${where}: asks for no metric`] : []),
    ...names.filter((name) => !series.has(name)).map((name) => `${where}: no series ${name}`),
    ...labels.filter((label) => !known.has(label)).map((label) => `${where}: no label ${label}`),
  ];
}
