// In: labels and numbers. Out: an SVG text: horizontal bars, whole or of parts, or lines over named places; with title, unit
// and scale.
// Guaranteed: readable in light and dark surroundings; whatever stands in a label can't break the markup; the same input
// gives the same text. Pure.

interface Bar {
  readonly label: string;
  readonly value: number;
  /** Drawn in the colour of what the chart is about. */
  readonly isOurs?: boolean;
  /** Behind the value, e.g. its spread. */
  readonly note?: string;
  /** Drawn one behind the other, each in a colour of its own, instead of the value. */
  readonly parts?: readonly number[];
}

export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
  /** What the parts of the bars are, in their order. */
  readonly parts?: readonly string[];
  /** A line that is to be reached, or not to be passed. */
  readonly mark?: { readonly value: number; readonly label: string };
}

export interface LineChart {
  readonly title: string;
  readonly unit: string;
  /** What the places along the x axis are. */
  readonly places: readonly string[];
  readonly xTitle: string;
  readonly scale: "linear" | "log";
  /** A value that is not finite is left out. */
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[];
}

const WIDTH = 760;
const LEFT = 190;
const RIGHT = 150;
const BAR = 26;

export function barChart({ title, unit, bars, mark, parts: names = [] }: BarChart): string {
  const ticks = linearTicks(Math.max(...bars.map(({ value }) => value), mark?.value ?? 0));
  const most = ticks.at(-1)!;
  const top = names.length > 0 ? 80 : 64;
  const bottom = top + bars.length * (BAR + 8);
  const x = (value: number) => LEFT + (WIDTH - LEFT - RIGHT) * value / most;
  const grid = ticks.map((tick) =>
    line([x(tick), top - 8], [x(tick), bottom], "grid") + text([x(tick), bottom + 18], number(tick), "small middle")
  );
  const rows = bars.map(({ label, value, isOurs = false, note = "", parts }, row) => {
    const y = top + row * (BAR + 8);
    const rect = (from: number, { length, colour }: { length: number; colour: string }) =>
      `<rect x="${round(x(from))}" y="${y}" width="${round(x(length) - LEFT)}" height="${BAR}" class="${colour}"/>`;
    const begin = (at: number) => (parts ?? []).slice(0, at).reduce((sum, part) => sum + part, 0);
    const drawn = parts?.map((length, at) => rect(begin(at), { length, colour: `c${at}` })) ??
      [rect(0, { length: value, colour: isOurs ? "c0" : "other" })];
    const end = x(parts === undefined ? value : begin(parts.length));
    return text([LEFT - 10, y + 18], label, "end") + drawn.join("") +
      text([end + 8, y + 18], `${number(value)}${note === "" ? "" : ` ${note}`}`, "small");
  });
  const limit = mark === undefined ? [] : [
    line([x(mark.value), top - 14], [x(mark.value), bottom], "mark"),
    text([x(mark.value), top - 18], mark.label, "small middle"),
  ];
  return document(bottom + 32, [heading(title, unit), ...names.map(legend), ...grid, ...rows, ...limit]);
}

export function lineChart({ title, unit, places, xTitle, scale, series }: LineChart): string {
  const [top, bottom, left] = [92, 352, 80];
  const values = series.flatMap((one) => one.values).filter(Number.isFinite);
  const ticks = scale === "log" ? logTicks(Math.min(...values), Math.max(...values)) : linearTicks(Math.max(...values));
  const [low, high] = [ticks[0]!, ticks.at(-1)!];
  const share = (value: number) =>
    scale === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const x = (place: number) =>
    left + 30 + (WIDTH - left - 90) * (places.length === 1 ? 0.5 : place / (places.length - 1));
  const y = (value: number) => bottom - (bottom - top) * share(value);
  const grid = ticks.map((tick) =>
    line([left, y(tick)], [WIDTH - 30, y(tick)], "grid") + text([left - 8, y(tick) + 4], number(tick), "small end")
  );
  const names = places.map((name, place) => text([x(place), bottom + 20], name, "small middle"));
  const lines = series.map(({ name, values }, at) => {
    const points = values.flatMap((value, place) => Number.isFinite(value) ? [[x(place), y(value)] as const] : []);
    const path = points.map((point) => point.map(round).join(",")).join(" ");
    return `<polyline points="${path}" class="l${at}"/>` +
      points.map(([px, py]) => `<circle cx="${round(px)}" cy="${round(py)}" r="4" class="c${at}"/>`).join("") +
      legend(name, at);
  });
  const axis = text([WIDTH / 2, bottom + 42], xTitle, "small middle");
  return document(bottom + 56, [heading(title, unit), ...grid, ...names, ...lines, axis]);
}

/** From 0 in equal steps of 1, 2 or 5 times a power of ten; the last one is not below `most`. */
export function linearTicks(most: number): number[] {
  const rough = Math.max(most, 1e-9) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, n) => Number((n * step).toPrecision(12)));
}

/** Powers of ten around the values, two at least. */
export function logTicks(least: number, most: number): number[] {
  const first = Math.floor(Math.log10(least));
  const last = Math.max(first + 1, Math.ceil(Math.log10(most)));
  return Array.from({ length: last - first + 1 }, (_, n) => Number((10 ** (first + n)).toPrecision(12)));
}

export function escapeText(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

type Point = readonly [x: number, y: number];

function document(height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">` +
    `<style>${STYLE}</style><rect width="${WIDTH}" height="${height}" class="paper"/>\n${parts.join("\n")}\n</svg>\n`;
}

const COLOURS = ["#2f6fdb", "#c76a15", "#8250df", "#1a7f4b", "#a13a55"];
const DARK_COLOURS = ["#6ea8ff", "#f0a35e", "#c297ff", "#56d364", "#f28ba2"];

const STYLE =
  `text{font:14px system-ui,sans-serif;fill:#1f2328}.title{font-size:17px;font-weight:600}.small{font-size:12px}` +
  `.end{text-anchor:end}.middle{text-anchor:middle}.paper{fill:#ffffff}.grid{stroke:#d0d7de}.mark{stroke:#cf222e;` +
  `stroke-dasharray:5 4}.other{fill:#8c959f}polyline{fill:none;stroke-width:2.5}${palette(COLOURS)}` +
  `@media (prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.grid{stroke:#30363d}.mark{stroke:#ff7b72}` +
  `.other{fill:#6e7681}${palette(DARK_COLOURS)}}`;

function palette(colours: readonly string[]): string {
  return colours.map((colour, at) => `.c${at}{fill:${colour}}.l${at}{stroke:${colour}}`).join("");
}

function heading(title: string, unit: string): string {
  return text([20, 28], title, "title") + text([WIDTH - 20, 28], unit, "small end");
}

function legend(name: string, at: number): string {
  const x = 80 + at * 165;
  return `<rect x="${x}" y="50" width="12" height="12" class="c${at}"/>` + text([x + 18, 61], name, "small");
}

function text([x, y]: Point, content: string, classes: string): string {
  return `<text x="${round(x)}" y="${round(y)}" class="${classes}">${escapeText(content)}</text>`;
}

function line([x1, y1]: Point, [x2, y2]: Point, classes: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="${classes}"/>`;
}

function number(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
