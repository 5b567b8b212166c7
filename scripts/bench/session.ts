/**
 * The options of a run → what its parts share: the PostgreSQL server, the stand-in User Service, a folder for the
 * output of processes, the progress display and the list of problems.
 *
 * Disposal ends the processes and deletes the folder. A problem in the list makes the run fail.
 */
import { Guard } from "../servers/guard.ts";
import type { Postgres } from "../servers/postgres.ts";
import type { Options } from "./options.ts";
import { type BenchProcess, type Environment, startProcess } from "./process.ts";
import { openSetting, type Setting, startBenchPostgres } from "./setting.ts";
import { startSubject, type Subject } from "./subjects.ts";

export interface Session extends AsyncDisposable {
  readonly isQuick: boolean;
  readonly options: Options;
  readonly postgres: Postgres;
  readonly problems: string[];
  /** Shows the current step. */
  progress(text: string): void;
  setting(): Promise<Setting>;
  start(subject: Subject, setting: Setting, env?: Environment): Promise<BenchProcess>;
  /** Starts another program of this folder and returns the URL that it prints. */
  startStandIn(program: string): Promise<{ process: BenchProcess; url: string }>;
}

export async function openSession(
  options: Options,
  progress: (text: string) => void,
): Promise<Session> {
  progress("starting PostgreSQL and the stand-in User Service");
  await using stack = new AsyncDisposableStack();
  const outputs = await Deno.makeTempDir({ prefix: "notification-bench-" });
  stack.use(new Guard(outputs)); // deletes the folder when this process ends in any way
  let processes = 0;
  const output = (name: string) => `${outputs}/${++processes}-${name}.log`;

  const startStandIn: Session["startStandIn"] = async (program) => {
    const command = [Deno.execPath(), "run", "--allow-all", `scripts/bench/${program}.ts`];
    const process = await startProcess(command, { env: {}, output: output(program) });
    await process.until("it printed its URL", async () => await process.printed(URL_LINE) !== null);
    return { process, url: (await process.printed(URL_LINE))![1]! };
  };

  const postgres = stack.use(await startBenchPostgres());
  const users = await startStandIn("user_service");
  stack.use(users.process);
  const ownership = stack.move();
  return {
    isQuick: options.isQuick,
    options,
    postgres,
    problems: [],
    progress,
    setting: () => openSetting(postgres),
    start: (subject, setting, env = {}) =>
      startSubject(subject, {
        setting,
        env,
        userServiceUrl: users.url,
        compare: options.compare,
        output: output(subject),
      }),
    startStandIn,
    [Symbol.asyncDispose]: () => ownership.disposeAsync(),
  };
}

const URL_LINE = /^(http:\S+)\n/m;

/** Adds the wrong counts of a timed run to the problems. */
export function addProblems(session: Session, what: string, wrong: readonly string[]): void {
  for (const text of wrong) session.problems.push(`${what}: ${text}`);
}
