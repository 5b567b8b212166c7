/** Which URLs are accepted and which are refused; no text makes the parsers throw. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseBaseUrl, parsePostgresUrl } from "./urls.ts";

Deno.test("parsePostgresUrl() returns postgres:// and postgresql:// URLs unchanged", () => {
  const examples = [
    "postgres://db.internal",
    "postgres://user:password@db.internal:5432/notification?sslmode=verify-full",
    "postgresql://user:p%40ss%2Fw%23@[::1]:5432/notification",
    "postgres://user:p@ss@db/notification",
    "postgresql:///notification?host=/var/run/postgresql",
    "postgres://user@%2Fvar%2Frun%2Fpostgresql/notification",
  ];
  for (const text of examples) assert.equal(parsePostgresUrl(text), text);
});

Deno.test("parsePostgresUrl() refuses everything else", () => {
  const examples = [
    "",
    "db.internal:5432",
    "host=db user=u password=p",
    "mysql://db/notification",
    "postgres:db",
    "postgres:/db",
    "postgres://",
    "postgres:///notification",
    "postgres:///notification?host=",
    "postgres://user:password@/notification",
    "postgres://one,two/notification",
    "postgres:///notification?host=one,two",
    "postgres://db:0/notification",
    "postgres://db:65536/notification",
    "postgres://user:12/3@db/notification",
    "postgres://user:12?3@db/notification",
    "postgres://user:12#3@db/notification",
    "postgres://user:100%sure@db/notification",
    "postgres://user:%ff@db/notification",
    "postgres://user:pass word@db/notification",
    " postgres://db",
    "postgres://db\n",
    "postgres://d\tb",
    "postgres://u:p@d\0b",
  ];
  for (const text of examples) assert.equal(parsePostgresUrl(text), undefined, JSON.stringify(text));
});

Deno.test("parsePostgresUrl() accepts every password that is percent-encoded", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (password) => {
    const text = `postgres://user:${encodeURIComponent(password)}@db/notification`;
    assert.equal(parsePostgresUrl(text), text);
  }));
});

Deno.test("parseBaseUrl() returns the URL without trailing slashes", () => {
  const examples: Record<string, string> = {
    "http://users": "http://users",
    "http://users/": "http://users",
    "HTTPS://Users.Example:8443/base//": "https://users.example:8443/base",
    "http://[::1]:8080/a/b": "http://[::1]:8080/a/b",
    "http://users/a%40b": "http://users/a%40b",
  };
  for (const [text, url] of Object.entries(examples)) assert.equal(parseBaseUrl(text), url);
});

Deno.test("parseBaseUrl() refuses everything else", () => {
  const examples = [
    ..."|users|users:8080|ftp://users|http:users|http:/users|http://|http:///users|http://users:0|http://users:65536"
      .split("|"),
    "http://user:password@users",
    "http://user@users",
    "http://@users",
    "http://user:12/3@users",
    "http://users?x=1",
    "http://users/?",
    "http://users/#",
    "http://users#fragment",
    "http:\\\\users",
    "http://users/%zz",
    " http://users",
    "http://users\n",
    "http://us ers",
  ];
  for (const text of examples) assert.equal(parseBaseUrl(text), undefined, JSON.stringify(text));
});

Deno.test("parseBaseUrl() and parsePostgresUrl() never throw", () => {
  const scheme = fc.constantFrom("", "http://", "https://", "postgres://", "postgresql://");
  fc.assert(fc.property(scheme, fc.string({ unit: "binary" }), (start, rest) => {
    const url = parseBaseUrl(start + rest);
    if (url !== undefined) assert.equal(parseBaseUrl(url), url);
    assert.ok([start + rest, undefined].includes(parsePostgresUrl(start + rest)));
  }));
});
