/**
 * A regular expression of ECMA-262 (flag `u`) → a program for `linear_pattern.ts`, or the reason why it is refused.
 *
 * The program is an automaton without memory (Thompson's construction). Look-around and back-references are refused
 * because no bound on their time is known, and patterns that become too large when their repetitions are written out.
 */
import { type AST, RegExpParser } from "@eslint-community/regexpp";

/** One instruction at each place: its operation, the place that follows, and its operand. */
export interface PatternProgram {
  readonly operations: Uint8Array;
  readonly next: Int32Array;
  readonly operand: Int32Array;
  /** The first place. */
  readonly start: number;
  /** The sets of characters that instructions refer to, each once. */
  readonly sets: readonly CharacterSet[];
}

/** Their operands: a set's index; a {@link Condition}; the second place that follows; none. */
export const Operation = { character: 0, condition: 1, fork: 2, match: 3 } as const;

/** The condition that a place in the text must meet: the text's beginning, its end, a word boundary, or none. */
export const Condition = { start: 0, end: 1, boundary: 2, noBoundary: 3 } as const;

/** Whether a character, given as its code point, is one of a set. */
type CharacterSet = (codePoint: number) => boolean;

export type CompiledPattern =
  | { readonly kind: "program"; readonly program: PatternProgram }
  | { readonly kind: "refused"; readonly message: string };

/** About ten times as many as the pattern of a host name needs, with the lengths of its labels. */
const MAX_INSTRUCTIONS = 10_000;

const parser = new RegExpParser();

export function compilePattern(pattern: string): CompiledPattern {
  const compiled = compile(pattern);
  const plain = withoutNeedlessEscapes(pattern);
  if (compiled.kind === "program" || plain === pattern) return compiled;
  const tolerated = compile(plain);
  return tolerated.kind === "program" ? tolerated : compiled;
}

function compile(pattern: string): CompiledPattern {
  try {
    const { alternatives } = parser.parsePattern(pattern, 0, pattern.length, { unicode: true });
    return { kind: "program", program: new Compiler().program(alternatives) };
  } catch (error) {
    return { kind: "refused", message: reasonOf(error as Error) };
  }
}

/**
 * Without backslashes before punctuation that has no meaning of its own there (`\@`, and `\-` outside of a class). The
 * flag `u` refuses them; without it, as catalogs may have been written, they mean the character itself.
 */
function withoutNeedlessEscapes(pattern: string): string {
  let isInClass = false;
  return pattern.replace(/\\[^]|[[\]]/gu, (part) => {
    if (part === "[") isInClass = true;
    if (part === "]") isInClass = false;
    return /^\\[!"#%&',:;<=>@_`~ ]$/.test(part) || (part === "\\-" && !isInClass) ? part.slice(1) : part;
  });
}

class Refused extends Error {}

function reasonOf(error: Error): string {
  if (error instanceof Refused) return error.message;
  if (error instanceof RangeError) return "is nested too deep";
  // The parser repeats the whole pattern before the reason.
  return `must be a regular expression of ECMA-262 with the flag u: ${error.message.split("/u: ").at(-1)}`;
}

/** Works from the end of the pattern to its beginning: each part needs the place that follows it. */
class Compiler {
  readonly #operations: number[] = [];
  readonly #next: number[] = [];
  readonly #operand: number[] = [];
  readonly #sets: CharacterSet[] = [];
  readonly #setIndex = new Map<string, number>();

  program(alternatives: readonly AST.Alternative[]): PatternProgram {
    const start = this.#alternatives(alternatives, this.#add(Operation.match, 0, 0));
    return {
      operations: Uint8Array.from(this.#operations),
      next: Int32Array.from(this.#next),
      operand: Int32Array.from(this.#operand),
      start,
      sets: this.#sets,
    };
  }

  #alternatives(alternatives: readonly AST.Alternative[], next: number): number {
    return alternatives.map(({ elements }) => elements.reduceRight((after, part) => this.#part(part, after), next))
      .reduceRight((other, first) => this.#add(Operation.fork, first, other));
  }

  /** Returns the first place of a part that continues at `next`. */
  #part(part: AST.Element, next: number): number {
    switch (part.type) {
      case "Character":
        return this.#character(part.raw, next, (codePoint) => codePoint === part.value);
      case "CharacterClass":
      case "CharacterSet":
        return this.#character(part.raw, next, setOf(part.raw));
      case "Quantifier":
        return this.#quantifier(part, next);
      case "CapturingGroup":
        return this.#alternatives(part.alternatives, next);
      case "Group":
        if (part.modifiers) throw new Refused("must not change flags, as (?i:…) does");
        return this.#alternatives(part.alternatives, next);
      case "Assertion":
        return this.#add(Operation.condition, next, conditionOf(part));
      case "Backreference":
        throw new Refused("must not refer back (\\1, \\k<name>): no bound on the time of that is known");
      case "ExpressionCharacterClass":
        throw new Refused("must not have what only the flag v allows");
    }
  }

  #character(source: string, next: number, set: CharacterSet): number {
    const index = this.#setIndex.get(source) ?? this.#sets.push(set) - 1;
    this.#setIndex.set(source, index);
    return this.#add(Operation.character, next, index);
  }

  #quantifier({ min, max, element }: AST.Quantifier, next: number): number {
    let start = next;
    let copies = min;
    if (max === Infinity) {
      const loop = this.#add(Operation.fork, next, next);
      this.#next[loop] = this.#part(element, loop);
      // A loop with at least one repetition begins with its body.
      start = min === 0 ? loop : this.#next[loop]!;
      copies = Math.max(0, min - 1);
    } else {
      for (let times = min; times < max; times++) start = this.#add(Operation.fork, this.#part(element, start), next);
    }
    for (let times = 0; times < copies; times++) start = this.#part(element, start);
    return start;
  }

  #add(operation: number, next: number, operand: number): number {
    if (this.#operations.length >= MAX_INSTRUCTIONS) {
      throw new Refused(`repeats too much: written out it has more than ${MAX_INSTRUCTIONS} parts`);
    }
    this.#next.push(next);
    this.#operand.push(operand);
    return this.#operations.push(operation) - 1;
  }
}

/** JavaScript's own engine decides whether a set has a character. */
function setOf(source: string): CharacterSet {
  const one = new RegExp(`^${source}$`, "u");
  return (codePoint) => one.test(String.fromCodePoint(codePoint));
}

function conditionOf(assertion: AST.Assertion): number {
  if (assertion.kind === "start") return Condition.start;
  if (assertion.kind === "end") return Condition.end;
  if (assertion.kind === "word") return assertion.negate ? Condition.noBoundary : Condition.boundary;
  throw new Refused(
    "must not look ahead or behind ((?=…), (?!…), (?<=…), (?<!…)): no bound on the time of that is known",
  );
}
