/**
 * A pattern of a JSON Schema and a text → whether the pattern matches somewhere in the text.
 *
 * The answer is that of `RegExp` with the flag `u`, without backtracking: all ways through the pattern are followed at
 * once, and each set of places in the pattern (a *state*) is computed only once. The time grows with the length of the
 * text; only if large new states keep appearing does it grow with text × pattern. These steps are counted.
 */
import { Condition, Operation, type PatternProgram } from "./pattern_program.ts";
import type { WorkLimit } from "./work_limit.ts";

/** A kind: all characters that belong to the same sets of the pattern, or the end of the text. */
interface CharacterKind {
  readonly index: number;
  /** Indexes of sets. */
  readonly heldBy: ReadonlySet<number>;
  readonly side: number;
}

interface State {
  /** Places in the program, ascending. */
  readonly places: Int32Array;
  /** The neighbour before the next character. */
  readonly before: number;
  /** By the index of the next character's kind. */
  readonly next: (State | typeof MATCHED | undefined)[];
}

const MATCHED = Symbol("matched");

/** The neighbour of a place in the text, as far as conditions need it. */
const EDGE = 0;
const WORD = 1;
const OTHER = 2;

const END: CharacterKind = { index: 0, heldBy: new Set(), side: EDGE };

/**
 * The number of places in all states of one pattern, some 500 KiB, at which all states are dropped; kinds likewise.
 */
const MAX_HELD = 2 ** 16;
const STATE_OVERHEAD = 16;
const KIND_OVERHEAD = 16;
const MAX_CHARACTERS_KNOWN = 2 ** 14;
const ASCII = 128;
/** The largest value of a Uint32Array. */
const MAX_WALK = 2 ** 32 - 1;
/** Characters that are looked up in the time of one step. */
const CHARACTERS_PER_STEP = 4;
/** Steps in the time of asking JavaScript's engine whether a set holds a character, and of making a state. */
const STEPS_PER_SET = 16;
const STEPS_PER_STATE = 64;

export class LinearPattern {
  readonly source: string;
  readonly #program: PatternProgram;
  readonly #limit: WorkLimit;
  /** Whether it can match only at the beginning of a text. */
  readonly #anchored: boolean;
  readonly #kinds = new Map<string, CharacterKind>();
  #heldByKinds = 0;
  readonly #asciiKinds: (CharacterKind | undefined)[] = new Array(ASCII).fill(undefined);
  readonly #otherKinds = new Map<number, CharacterKind>();
  /** By their hash. */
  readonly #states = new Map<number, State[]>();
  #first: State | undefined;
  #held = 0;
  /** By place: the last walk that came to it. */
  readonly #lastWalk: Uint32Array;
  #walk = 0;
  readonly #open: Int32Array;
  readonly #reached: Int32Array;
  readonly #places: Int32Array;

  constructor(source: string, { program, limit }: { program: PatternProgram; limit: WorkLimit }) {
    const size = program.operations.length;
    this.source = source;
    this.#program = program;
    this.#limit = limit;
    this.#lastWalk = new Uint32Array(size);
    this.#open = new Int32Array(2 * size + 1);
    this.#reached = new Int32Array(size);
    this.#places = new Int32Array(size);
    const start = Int32Array.of(program.start);
    this.#anchored = [WORD, OTHER].every((before) =>
      [EDGE, WORD, OTHER].every((after) => this.#reach(start, before, after) === 0)
    );
  }

  /** @throws TooManySteps */
  test(text: string): boolean {
    this.#spend(Math.ceil(text.length / CHARACTERS_PER_STEP));
    let state = this.#first ??= this.#newFirst();
    for (let at = 0; at < text.length;) {
      const codePoint = text.codePointAt(at)!;
      let kind = codePoint < ASCII ? this.#asciiKinds[codePoint] : this.#otherKinds.get(codePoint);
      if (kind === undefined) {
        if (this.#heldByKinds >= MAX_HELD) state = this.#withoutKinds(state);
        kind = this.#newKindOf(codePoint);
      }
      const next = state.next[kind.index] ?? this.#newNext(state, kind);
      if (next === MATCHED) return true;
      if (next.places.length === 0) return false;
      state = next;
      at += codePoint > 0xffff ? 2 : 1;
    }
    return (state.next[END.index] ?? this.#newNext(state, END)) === MATCHED;
  }

  /** ajv compares patterns by their text. */
  toString(): string {
    return this.source;
  }

  #newFirst(): State {
    this.#places[0] = this.#program.start;
    return this.#state(1, EDGE);
  }

  #newKindOf(codePoint: number): CharacterKind {
    const { sets } = this.#program;
    this.#spend(STEPS_PER_SET * (sets.length + 1));
    const held: number[] = [];
    for (const [index, set] of sets.entries()) if (set(codePoint)) held.push(index);
    const side = /\w/.test(String.fromCodePoint(codePoint)) ? WORD : OTHER;
    const name = `${side} ${held.join()}`;
    let kind = this.#kinds.get(name);
    if (kind === undefined) {
      kind = { index: this.#kinds.size + 1, heldBy: new Set(held), side };
      this.#kinds.set(name, kind);
      this.#heldByKinds += held.length + KIND_OVERHEAD;
    }
    if (codePoint < ASCII) {
      this.#asciiKinds[codePoint] = kind;
    } else {
      if (this.#otherKinds.size >= MAX_CHARACTERS_KNOWN) this.#otherKinds.clear();
      this.#otherKinds.set(codePoint, kind);
    }
    return kind;
  }

  /** Drops all kinds, and with them all states, which refer to their indexes. Returns the given state, built again. */
  #withoutKinds({ places, before }: State): State {
    this.#kinds.clear();
    this.#heldByKinds = 0;
    this.#asciiKinds.fill(undefined);
    this.#otherKinds.clear();
    this.#dropStates();
    this.#places.set(places);
    return this.#state(places.length, before);
  }

  #dropStates(): void {
    this.#states.clear();
    this.#first = undefined;
    this.#held = 0;
  }

  #newNext(state: State, kind: CharacterKind): State | typeof MATCHED {
    const { operations, next, operand, start } = this.#program;
    const count = this.#reach(state.places, state.before, kind.side);
    this.#spend(count + state.places.length + STEPS_PER_STATE);
    const walk = this.#newWalk();
    let size = 0;
    let matched = false;
    for (let at = 0; at < count; at++) {
      const place = this.#reached[at]!;
      if (operations[place] === Operation.match) {
        matched = true;
      } else if (kind.heldBy.has(operand[place]!) && this.#lastWalk[next[place]!] !== walk) {
        this.#lastWalk[next[place]!] = walk;
        this.#places[size++] = next[place]!;
      }
    }
    if (!this.#anchored && this.#lastWalk[start] !== walk) this.#places[size++] = start;
    const result = matched ? MATCHED : this.#state(size, kind.side);
    state.next[kind.index] = result;
    this.#held++;
    return result;
  }

  /** Adds to `#reached` the instructions, reachable from these places, that read a character or end the pattern. */
  #reach(places: Int32Array, before: number, after: number): number {
    const { operations, next, operand } = this.#program;
    const walk = this.#newWalk();
    let count = 0;
    for (const first of places) {
      let open = 0;
      this.#open[open++] = first;
      while (open > 0) {
        const place = this.#open[--open]!;
        if (this.#lastWalk[place] === walk) continue;
        this.#lastWalk[place] = walk;
        const operation = operations[place];
        if (operation === Operation.fork) {
          this.#open[open++] = operand[place]!;
          this.#open[open++] = next[place]!;
        } else if (operation === Operation.condition) {
          if (holds(operand[place]!, before, after)) this.#open[open++] = next[place]!;
        } else {
          this.#reached[count++] = place;
        }
      }
    }
    return count;
  }

  #newWalk(): number {
    if (this.#walk === MAX_WALK) {
      this.#lastWalk.fill(0);
      this.#walk = 0;
    }
    return ++this.#walk;
  }

  /** The state of the first places in `#places`. */
  #state(size: number, before: number): State {
    const places = this.#places.slice(0, size).sort();
    let hash = before;
    for (const place of places) hash = (Math.imul(hash, 31) + place) | 0;
    const known = this.#states.get(hash)?.find((state) => state.before === before && areEqual(state.places, places));
    if (known !== undefined) return known;
    const state: State = { places, before, next: [] };
    if (this.#held >= MAX_HELD) this.#dropStates();
    const others = this.#states.get(hash);
    if (others === undefined) this.#states.set(hash, [state]);
    else others.push(state);
    this.#held += size + STATE_OVERHEAD;
    return state;
  }

  #spend(steps: number): void {
    this.#limit.spend(steps, "pattern", this.source);
  }
}

function holds(condition: number, before: number, after: number): boolean {
  if (condition === Condition.start) return before === EDGE;
  if (condition === Condition.end) return after === EDGE;
  return ((before === WORD) !== (after === WORD)) === (condition === Condition.boundary);
}

function areEqual(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
