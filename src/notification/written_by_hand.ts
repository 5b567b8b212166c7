/**
 * A refused text of a field → the probable mistake of its producer, for a message. Pure.
 *
 * Clients of Redis send any text: a list in a language's own notation, a time in seconds, a word for "no value".
 */

const GO = "is Go's own notation: send json.Marshal() of it";
const JAVA_OR_RUBY = "is Ruby's or Java's own notation, not JSON: send to_json of it";
const PYTHON = "is Python's own notation: send json.dumps() of it";

const OWN_NOTATIONS: readonly (readonly [form: RegExp, hint: string])[] = [
  [/^Array$/, "is PHP's word for an array: send json_encode() of it"],
  [/^\[object \w+\]/, "is JavaScript's word for an object: send JSON.stringify() of it"],
  [/^(None|nil|NULL|undefined|<nil>)$/, "is a language's word for no value"],
  [/^(True|False)$/, PYTHON],
  [/^map\[/, GO],
  // `[user-1 user-2]`, `{g7 12}`, `&{g7 12}`.
  [/^\[[^\s,"'[\]{}]+( [^\s,"'[\]{}]+)+\]$|^&?\{[^\s:="'{}]+( [^\s:="'{}]+)*\}$/, GO],
  // `{"game_id"=>"g7"}`, `{:game_id=>"g7"}`, `{game_id: "g7"}`, `{game_id=g7}`.
  [/^\{:?[\w"]+ ?=|^\{\w+: /, JAVA_OR_RUBY],
  [/^[[{(]\s*(['(]|True|False|None|b')|: (True|False|None|')/, PYTHON],
  // `[user-1, user-2]`, `[user-1]`.
  [
    /^\[[^\s,"'[\]{}]*[^\d\s,"'[\]{}.-][^\s,"'[\]{}]*(, [^\s,"'[\]{}]+)*\]$/,
    "is a list in Java's or Go's own notation, without quotes",
  ],
  [/^[\w.@-]+(, ?[\w.@-]+)+$/, "is a list without brackets and quotes"],
  // What redis-rb makes of a list of one.
  [/^[\w.@-]+$/, "is a text without brackets and quotes"],
];

/** `, which …` after the problem with the JSON; empty if the mistake is unknown. */
export function jsonHint(text: string): string {
  const start = text.slice(0, 200).trim();
  const found = OWN_NOTATIONS.find(([form]) => form.test(start));
  return found === undefined ? "" : `; it ${found[1]}`;
}

const UNITS: readonly (readonly [name: string, perMillisecond: number])[] = [
  ["seconds", 1 / 1000],
  ["microseconds", 1000],
  ["nanoseconds", 1_000_000],
];

/** The unit in which the number would be in the range. */
export function timeUnitHint(value: number, { fromMs, untilMs }: { fromMs: number; untilMs: number }): string {
  for (const [name, perMillisecond] of UNITS) {
    const milliseconds = value / perMillisecond;
    if (milliseconds < fromMs || milliseconds >= untilMs) continue;
    return `; it looks like ${name}${name === "seconds" ? ": send a thousand times as much" : ""}`;
  }
  return "";
}

/** A hint for a text that is not a whole number. */
export function notDigitsHint(text: string): string {
  if (/^\d+\.\d*$/.test(text)) return "; it has a decimal point: send a whole number";
  if (/^\d(\.\d+)?e\+?\d+$/i.test(text)) return "; it is a float's notation: send a whole number";
  if (/^\d{4}-\d\d-\d\d/.test(text)) return "; it looks like a date";
  if (/^(None|nil|null|NULL|undefined|True|False|true|false)$/.test(text)) {
    return "; it is a language's word, not a time";
  }
  return "";
}
