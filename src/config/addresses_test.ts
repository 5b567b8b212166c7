/** Network addresses and administrators' e-mail addresses: which texts are accepted, and their parts. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseEmailAddress, parseHostPort, parseListenAddress } from "./addresses.ts";

Deno.test("parseHostPort() accepts names, IPv4 and bracketed IPv6", () => {
  const examples: Record<string, { host: string; port: number }> = {
    "redis:6379": { host: "redis", port: 6379 },
    "redis-1.internal.example.:1": { host: "redis-1.internal.example.", port: 1 },
    "my_redis:65535": { host: "my_redis", port: 65535 },
    "10.0.0.1:6379": { host: "10.0.0.1", port: 6379 },
    "[::1]:6379": { host: "::1", port: 6379 },
    "[2001:db8::7]:6379": { host: "2001:db8::7", port: 6379 },
  };
  for (const [text, expected] of Object.entries(examples)) assert.deepEqual(parseHostPort(text), expected, text);
});

Deno.test("parseHostPort() refuses everything else", () => {
  const examples = [
    ..."|redis|redis:|:6379|redis:0|redis:65536|redis:06379|redis:+1|redis:6379x|redis:63 79| redis:6379|redis:6379 "
      .split("|"),
    "redis:6379\n",
    "redis:6379\r",
    "::1:6379",
    "[::1]",
    "[]:6379",
    "[10.0.0.1]:6379",
    "[redis]:6379",
    "[::1:6379",
    "::1]:6379",
    "999.0.0.1:6379",
    "10.1:6379",
    "-redis:6379",
    "redis..a:6379",
    "redis://redis:6379",
    "user:password@redis:6379",
    "redis/0:6379",
    "r\u00e9dis:6379",
    `${"a".repeat(64)}:6379`,
    `${"a.".repeat(127)}a:6379`,
  ];
  for (const text of examples) assert.equal(parseHostPort(text), undefined, JSON.stringify(text));
});

Deno.test("parseHostPort() and parseListenAddress() agree on every address with a host and a port", () => {
  const host = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6().map((address) => `[${address}]`));
  fc.assert(fc.property(host, fc.integer({ min: 1, max: 65_535 }), (name, port) => {
    const plain = name.replace(/^\[(.*)\]$/, "$1");
    assert.deepEqual(parseHostPort(`${name}:${port}`), { host: plain, port });
    assert.deepEqual(parseListenAddress(`${name}:${port}`), { hostname: plain, port });
  }));
});

Deno.test("parseListenAddress() reads an address without a host as all interfaces", () => {
  assert.deepEqual(parseListenAddress(":8092"), { hostname: "", port: 8092 });
  assert.deepEqual(parseListenAddress("[::]:8092"), { hostname: "::", port: 8092 });
  assert.deepEqual(parseListenAddress("127.0.0.1:8092"), { hostname: "127.0.0.1", port: 8092 });
  assert.deepEqual(parseListenAddress("[::1]:8092"), { hostname: "::1", port: 8092 });
  assert.deepEqual(parseListenAddress("0.0.0.0:0"), { hostname: "0.0.0.0", port: 0 });
  for (const text of ["", "8092", ":", "*:8092", "[]:8092", ":65536", "http://:8092", "::8092"]) {
    assert.equal(parseListenAddress(text), undefined, text);
  }
});

Deno.test("parseEmailAddress() accepts one plain address and returns it in lower case", () => {
  const examples: Record<string, string> = {
    "Ops@Example.COM": "ops@example.com",
    "root@localhost": "root@localhost",
    "first.last+tag@mail.example.org": "first.last+tag@mail.example.org",
    "o'hara_%&@ex-ample.org": "o'hara_%&@ex-ample.org",
    "ÄRGER@exämple.de": "ärger@exämple.de",
  };
  for (const [text, address] of Object.entries(examples)) assert.equal(parseEmailAddress(text), address);
});

Deno.test("parseEmailAddress() refuses everything else", () => {
  const examples = [
    ..."|ops|@example.com|ops@|a@b@c|ops@.com|ops@example.|ops@ex..com|ops@-a.com|ops@a-.com|ops@[127.0.0.1]".split(
      "|",
    ),
    "Ops <ops@example.com>",
    "<ops@example.com>",
    '"ops"@example.com',
    "ops(comment)@example.com",
    "ops@example.com;dev@example.com",
    " ops@example.com",
    "ops@example.com ",
    "o ps@example.com",
    "ops@example.com\r",
    "ops\t@example.com",
    "ops\u00a0@example.com",
    "ops\u200b@example.com",
    "ops\u0000@example.com",
    "ops\ud800@example.com",
    `${"a".repeat(309)}@example.com`,
  ];
  for (const text of examples) assert.equal(parseEmailAddress(text), undefined, JSON.stringify(text));
  assert.equal(parseEmailAddress(`${"a".repeat(308)}@example.com`)?.length, 320);
});

Deno.test("parseEmailAddress() returns an address that it accepts again unchanged", () => {
  const likely = fc.string({ unit: fc.constantFrom(..."aZÄİ1.@-+ <>,\u200b".split("")), maxLength: 20 });
  fc.assert(fc.property(fc.oneof(fc.emailAddress(), likely), (text) => {
    const address = parseEmailAddress(text);
    if (address === undefined) return;
    assert.equal(parseEmailAddress(address), address);
    assert.doesNotMatch(address, /[\s,<>]/);
  }));
});
