/** Numbers → the texts of table cells. Pure. A missing number is a dash. */
import { type Cpu, inAll } from "./cpu.ts";
import { median } from "./statistics.ts";

export function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–";
}

export function ratio(value: number, base: number): string {
  return Number.isFinite(value / base) ? (value / base).toFixed(2) : "–";
}

/** Milliseconds; ∞ for an intent that was not delivered. */
export function ms(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return "∞";
  return value < 100 ? value.toFixed(1) : whole(value);
}

/** The median and, for several values, also the minimum and maximum. */
export function withSpread(values: readonly number[]): string {
  const spread = values.length > 1 ? ` (${whole(Math.min(...values))}–${whole(Math.max(...values))})` : "";
  return whole(median(values)) + spread;
}

export const CPU_HEADER = ["process", "PostgreSQL", "Redis", "in all"] as const;

export function cpuCells(cpu: readonly Cpu[]): string[] {
  const part = (name: keyof Cpu) => whole(median(cpu.map((one) => one[name])));
  return [part("process"), part("postgres"), part("redis"), withSpread(cpu.map(inAll))];
}
