/** Answers about users during a stall: kept for the entries for which they were asked, and for no others. */
import assert from "node:assert/strict";
import { embeddedCatalog } from "../notification/catalog.ts";
import { decode } from "../notification/decode.ts";
import type { Intent } from "../notification/intent.ts";
import { entryWith } from "../../tests/support/examples.ts";
import type { UserAnswer } from "../user_service/user_answer.ts";
import { Recipients } from "./recipients.ts";

const catalog = embeddedCatalog();
const never = new AbortController().signal;

function intent(entryId: string, ...users: string[]): Intent {
  const decoded = decode(entryWith({ recipient_user_ids_json: JSON.stringify(users) }, entryId), catalog);
  assert.equal(decoded.kind, "intent");
  return decoded as Intent;
}

/** Recipients with a User Service that finds all users except the named ones, and the ids for which it was asked. */
function recipientsWith(others: Record<string, UserAnswer>) {
  const asked: string[][] = [];
  const answer = (userId: string): UserAnswer =>
    others[userId] ?? { kind: "found", user: { userId, email: "", language: "" } };
  const recipients = new Recipients({
    lookUp(ids) {
      const list = [...ids];
      asked.push(list);
      return Promise.resolve(new Map(list.map((id) => [id, answer(id)])));
    },
  });
  return { asked, others, find: (...intents: Intent[]) => recipients.find(intents, never), recipients };
}

const away: UserAnswer = { kind: "unavailable", reason: "it can't be reached" };

Deno.test("Recipients asks again only for those still missing, for as long as a stall lasts", async () => {
  const { asked, find } = recipientsWith({ away });
  const batch = [intent("1-1", "a", "away"), intent("1-2", "b"), intent("1-3", "a", "away")];
  for (let at = 0; at < 3; at++) {
    const answers = await find(...batch);
    assert.deepEqual([...answers.keys()].sort(), ["a", "away", "b"]);
  }
  // No answer is dropped when the batch is halved meanwhile.
  await find(batch[0]!);
  await find(...batch);
  assert.deepEqual(asked, [["a", "away", "b"], ["away"], ["away"], ["away"], ["away"]]);
});

Deno.test("Recipients drops answers that their entries no longer need", async () => {
  const { asked, find, others } = recipientsWith({ away, late: { kind: "not_found" } });
  await find(intent("1-1", "late", "a"), intent("1-2", "late", "b"), intent("1-10", "away"));
  // The first entry is accepted, and a later one names the same user.
  assert.equal((await find(intent("1-2", "late", "b"), intent("1-10", "away"), intent("2-0", "late"))).size, 3);
  delete others.late;
  const answers = await find(intent("1-10", "away"), intent("2-0", "late"));
  assert.equal(answers.get("late")!.kind, "found");
  assert.deepEqual(asked, [["late", "a", "b", "away"], ["away"], ["away", "late"]]);
});

Deno.test("Recipients keeps no answer when the batch is accepted", async () => {
  const { asked, find, recipients } = recipientsWith({});
  await find(intent("1-1", "a"));
  recipients.release();
  await find(intent("1-1", "a"));
  assert.deepEqual(asked, [["a"], ["a"]]);
  assert.equal((await find()).size, 0);
});
