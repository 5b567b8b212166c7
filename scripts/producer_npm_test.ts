/** Node and TypeScript can use the npm package, and it encodes the same as the module in src/. */
import assert from "node:assert/strict";
import denoJson from "../deno.json" with { type: "json" };
import { type AnyIntent, encodeIntent } from "../src/producer/producer.ts";
import { succeeds } from "./command_output.ts";
import { DEPENDENCIES, writePackage } from "./producer_npm.ts";

const INTENT = {
  type: "game.turn.ready",
  producer: "game-master",
  audience: "user",
  recipientUserIds: ["u1"],
  idempotencyKey: "turn-12",
  occurredAt: 1767225600000,
  payload: { game_id: "g", game_name: "Seven", turn_number: 12 },
} as const satisfies AnyIntent;

const PROGRAM = `
import { encodeIntent, IntentRefused, publishIntent } from "@notification/service/producer";
const intent = JSON.parse(process.argv[2]);
const calls = [];
await publishIntent({ xadd: (...args) => (calls.push(args), Promise.resolve("1-1")) }, intent);
let refused;
try {
  encodeIntent({ ...intent, producer: "me" });
} catch (error) {
  if (error instanceof IntentRefused) refused = error.code;
}
// Node 20 gives no access to the source text of a number, which is needed for fractions.
const withFraction = encodeIntent({ ...intent, payload: { ...intent.payload, speed: 1.5 } });
console.log(JSON.stringify({ fields: encodeIntent(intent), calls, refused, length: withFraction.length }));
`;

const missing = await succeeds("node", "--version") ? isOlder("2.9") ? "Deno 2.9" : "" : "node";

Deno.test({
  name: `Node encodes with the package for npm${missing && ` NOT RUN: no ${missing} on this machine`}`,
  ignore: missing !== "",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writePackage(`${folder}/node_modules/@notification/service`);
      for (const dependency of DEPENDENCIES) await linkPackages(denoJson.imports[dependency], `${folder}/node_modules`);
      await Deno.writeTextFile(`${folder}/program.mjs`, PROGRAM);
      const { success, stdout, stderr } = await new Deno.Command("node", {
        args: ["--preserve-symlinks", `${folder}/program.mjs`, JSON.stringify(INTENT)],
      }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      assert.equal(new TextDecoder().decode(stderr), "");
      const fields = encodeIntent(INTENT);
      assert.deepEqual(JSON.parse(new TextDecoder().decode(stdout)), {
        fields,
        calls: [["notification:intents", "*", ...fields]],
        refused: "producer_not_allowed",
        length: fields.length,
      });

      // The types are those of the module: the compiler finds the one wrong name in this program.
      const types = `${folder}/node_modules/@notification/service/producer.d.ts`;
      for (const [producer, isRight] of [["game-master", true], ["game-lobby", false]] as const) {
        const program = `// @ts-types="${types}"
import { encodeIntent } from "${types.replace(".d.ts", ".js")}";
encodeIntent(${JSON.stringify({ ...INTENT, producer })});`;
        await Deno.writeTextFile(`${folder}/program.ts`, program);
        const config = new URL("../deno.json", import.meta.url).pathname;
        assert.equal(
          await succeeds(Deno.execPath(), "check", "--config", config, `${folder}/program.ts`),
          isRight,
          producer,
        );
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Links a package of this project and its dependencies from the folder where Deno keeps them. */
async function linkPackages(specifier: string, into: string): Promise<void> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json", specifier] }).output();
  const { modules: [module], npmPackages } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { npmPackage: string }[];
    npmPackages: Record<string, { name: string; localPath: string; dependencies: string[] }>;
  };
  const link = async (id: string): Promise<void> => {
    const { name, localPath, dependencies } = npmPackages[id]!;
    await Deno.mkdir(`${into}/${name}`.replace(/\/[^/]+$/, ""), { recursive: true });
    await Deno.symlink(localPath, `${into}/${name}`);
    for (const dependency of dependencies) await link(dependency);
  };
  await link(module!.npmPackage);
}

function isOlder(version: string): boolean {
  return Deno.version.deno.localeCompare(version, "en", { numeric: true }) < 0;
}
