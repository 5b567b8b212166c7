/**
 * Chance → entries for the intent stream: a mix of everything that producers send, valid and malformed.
 *
 * Each entry has two fields that the service ignores: the producer's own number (`chaos_number`) and the failure code
 * that its form must lead to (`chaos_failure`). So the expected outcome can be determined from the stream alone.
 */
import { Buffer } from "node:buffer";
import { ADMINISTRATOR_TYPES, USER_TYPES, USERS } from "./notification_model.ts";
import type { Chance } from "./chance.ts";

export type Fields = readonly (readonly [name: string, value: string | Buffer])[];

/** Keys are used again only within this time: retention must not have deleted their records. */
const REUSE_MS = 15_000;

interface Sent {
  readonly atMs: number;
  readonly fields: Readonly<Record<string, string>>;
}

export class IntentMix {
  readonly #chance: Chance;
  readonly #run: string;
  #sent: Sent[] = [];
  #next = 1;
  /**
   * The numbers of recipients of the next intents to users. All other intents have 1 to 6 recipients, and one in 300
   * has 20 to 150.
   */
  readonly longLists: number[] = [];
  #reusesKeys = true;

  /** @param run a part of every key, so that the keys of two runs on the same servers differ */
  constructor(chance: Chance, run: string) {
    this.#chance = chance;
    this.#run = run;
  }

  /** Off while records may be deleted at any time: the outcome of a key that is used again is then unknown. */
  set reusesKeys(on: boolean) {
    this.#reusesKeys = on;
    this.#sent = [];
  }

  /** The next entry and its number. */
  draw(): { readonly number: number; readonly fields: Fields } {
    const number = this.#next++;
    const chance = this.#chance;
    const make = chance.weighted<(number: number) => Fields>([
      [72, () => this.#toUsers(number)],
      [8, () => this.#toAdministrators(number)],
      [4, () => this.#toUnknownUser(number)],
      [7, () => this.#malformed(number)],
      [6, () => this.#duplicate(number)],
      [3, () => this.#conflict(number)],
    ]);
    return { number, fields: make(number) };
  }

  /** Returns the same intent under a new number, as a producer sends it again if the first XADD was not answered. */
  renumbered(fields: Fields): { readonly number: number; readonly fields: Fields } {
    const number = this.#next++;
    return {
      number,
      fields: fields.map(([name, value]) => [name, name === "chaos_number" ? String(number) : value] as const),
    };
  }

  #toUsers(number: number): Fields {
    const type = this.#chance.weighted([
      [6, "game.turn.ready"],
      [2, "lobby.invite.created"],
      [1, "lobby.invite.expired"],
      [1, "notification.smoke_test"],
    ]);
    const length = this.#listLength();
    const first = this.#chance.whole(1, USERS);
    // A long list has consecutive users, because a list of random users would have duplicates.
    const recipients = length < 20
      ? Array.from({ length }, () => this.#user())
      : Array.from({ length }, (_, at) => `user-${first + at}`);
    return this.#keep(this.#userIntent(number, type, recipients));
  }

  #listLength(): number {
    const long = this.longLists.shift();
    if (long !== undefined) return long;
    if (this.#chance.oneIn(300)) return this.#chance.whole(20, 150);
    return this.#chance.weighted([[85, 1], [10, 2], [5, this.#chance.whole(3, 6)]]);
  }

  #user(): string {
    return `user-${this.#chance.whole(1, USERS)}`;
  }

  #toAdministrators(number: number): Fields {
    const type = this.#chance.pick(Object.keys(ADMINISTRATOR_TYPES));
    const { producer, members } = ADMINISTRATOR_TYPES[type]!;
    return this.#keep({
      notification_type: type,
      producer,
      audience_kind: "admin_email",
      ...this.#common(number, members),
    });
  }

  #toUnknownUser(number: number): Fields {
    return this.#keep(this.#userIntent(number, "game.turn.ready", [this.#user(), `unknown-${number}`]));
  }

  #userIntent(number: number, type: string, recipients: readonly string[]): Record<string, string> {
    const { producer, members } = USER_TYPES[type]!;
    return {
      notification_type: type,
      producer,
      audience_kind: "user",
      recipient_user_ids_json: JSON.stringify(recipients),
      ...this.#common(number, members),
    };
  }

  #common(number: number, members: Readonly<Record<string, string | number>>): Record<string, string> {
    return {
      idempotency_key: `${this.#run}-${number}`,
      occurred_at_ms: String(Date.now()),
      // As a double, 1.10 would be written as 1.1: the text has to come out unchanged.
      payload_json: JSON.stringify({ ...members, chaos: number }).replace(/}$/, ',"exact":1.10}'),
      chaos_number: String(number),
      chaos_failure: "",
      ...(this.#chance.oneIn(4) ? { request_id: `request-${number}` } : {}),
    };
  }

  /** A copy of an earlier intent, with its recipients in another order. */
  #duplicate(number: number): Fields {
    const earlier = this.#earlier();
    if (earlier === undefined) return this.#toUsers(number);
    const recipients = earlier["recipient_user_ids_json"];
    return Object.entries({
      ...earlier,
      chaos_number: String(number),
      ...(recipients === undefined
        ? {}
        : { recipient_user_ids_json: JSON.stringify(this.#chance.shuffled(JSON.parse(recipients))) }),
    });
  }

  #conflict(number: number): Fields {
    const earlier = this.#earlier();
    if (earlier === undefined) return this.#toUsers(number);
    const payload = earlier["payload_json"]!.replace(/"chaos":\d+/, `"chaos":${number}`);
    return Object.entries({ ...earlier, chaos_number: String(number), payload_json: payload });
  }

  #keep(fields: Record<string, string>): Fields {
    this.#sent.push({ atMs: performance.now(), fields });
    return Object.entries(fields);
  }

  #earlier(): Readonly<Record<string, string>> | undefined {
    const oldest = performance.now() - REUSE_MS;
    const stale = this.#sent.findIndex(({ atMs }) => atMs > oldest);
    if (stale !== 0) this.#sent = stale < 0 ? [] : this.#sent.slice(stale);
    if (!this.#reusesKeys || this.#sent.length === 0) return undefined;
    // In half of the cases one of the last five, so that both entries are in one batch.
    const recent = this.#chance.oneIn(2) ? this.#sent.slice(-5) : this.#sent;
    return this.#chance.pick(recent).fields;
  }

  #malformed(number: number): Fields {
    const good = this.#userIntent(number, "game.turn.ready", [this.#user()]);
    const broken = (failure: string, changes: Readonly<Record<string, string | Buffer>>): Fields =>
      Object.entries({ ...good, ...changes, chaos_failure: failure });
    return this.#chance.pick<() => Fields>([
      () => broken("invalid_fields", { idempotency_key: Buffer.from([0x66, 0xff, 0x00, 0xfe]) }),
      () => broken("invalid_fields", { producer: "game\0master" }),
      () => broken("invalid_fields", { idempotency_key: "" }),
      () => [...broken("invalid_fields", {}), ["producer", "game-master"]],
      () => broken("unknown_notification_type", { notification_type: "game.turn.raedy" }),
      () => broken("producer_not_allowed", { producer: "game-lobby" }),
      () => broken("audience_not_allowed", { audience_kind: "admin_email" }),
      () => broken("invalid_recipients", { recipient_user_ids_json: '["a", 7]' }),
      () => broken("invalid_occurred_at", { occurred_at_ms: "yesterday" }),
      () => broken("invalid_payload", { payload_json: '{"turn_number":"seven"}' }),
      () => broken("invalid_payload", { payload_json: "[".repeat(500) }),
      () => broken("invalid_fields", { payload_json: Buffer.from([0x7b, 0xc3, 0x28, 0x7d]) }),
    ])();
  }
}
