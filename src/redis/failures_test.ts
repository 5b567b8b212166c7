/** What Redis's error replies mean, by the code at their beginning. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { refusesAllWrites, replyCode } from "./failures.ts";

Deno.test("replyCode() is a reply's first word if that is a code", () => {
  const examples: Record<string, string> = {
    "WRONGTYPE Operation against a key holding the wrong kind of value": "WRONGTYPE",
    "OOM command not allowed when used memory > 'maxmemory'.": "OOM",
    "READONLY": "READONLY",
    "ERR unknown command": "ERR",
    "NOSCRIPT No matching script.": "NOSCRIPT",
    "Connection is closed.": "ERR",
    "Oom something": "ERR",
    "OOM: something": "ERR",
    "": "ERR",
  };
  for (const [message, code] of Object.entries(examples)) assert.equal(replyCode(message), code);
});

Deno.test("refusesAllWrites() recognises errors about the server", () => {
  const codes = [
    "OOM",
    "READONLY",
    "MISCONF",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "BUSY",
    "CLUSTERDOWN",
    "TRYAGAIN",
  ];
  for (const code of codes) {
    assert.ok(refusesAllWrites(`${code} for a reason`), code);
    assert.ok(refusesAllWrites(code), code);
  }
});

Deno.test("an error about the call alone is no refusal of all writes", () => {
  for (const code of ["NOPERM", "NOAUTH", "WRONGPASS", "UNBLOCKED", "NOSCRIPT", "EXECABORT", "CROSSSLOT"]) {
    assert.ok(!refusesAllWrites(`${code} for a reason`), code);
  }
});

Deno.test("a script without rights is recognised in the texts of all versions, and is no refusal of all writes", () => {
  for (
    const message of [
      "ERR The user executing the script can't run this command or subcommand",
      "The user executing the script can't access at least one of the keys mentioned in the command arguments",
      "ERR ACL failure in script: User default has no permissions to run the 'xadd' command",
    ]
  ) {
    assert.equal(replyCode(message), "NOPERM");
    assert.ok(!refusesAllWrites(message), message);
  }
});

Deno.test("refusesAllWrites() is false for any other answer", () => {
  const answers = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR The ID specified in XADD must be greater than 0-0",
    "ERR OOM is only mentioned",
    "oom",
    "OOMX y",
    "",
  ];
  for (const message of answers) {
    assert.ok(!refusesAllWrites(message), message);
  }
});

Deno.test("replyCode() accepts any text", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => assert.match(replyCode(text), /^[A-Z][A-Z0-9_]*$/)));
});
