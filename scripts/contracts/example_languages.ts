/**
 * The language of an example in docs/producers.md → how its file is run on this machine.
 *
 * A language is available if its program is; on Debian, as root, a missing one is installed. Then the libraries of the
 * example (redis-py, redigo) are searched on the machine, or installed from the language's index into a folder that is
 * kept, or, as root, from Debian. If nothing works, an error says what to type: an example is never skipped silently.
 */
import { existsSync } from "node:fs";
import { succeeds } from "../command_output.ts";
import { resolve } from "node:path";
import { installServers, ServersMissing } from "../servers/install.ts";

const ROOT = resolve(import.meta.dirname!, "../..");

export interface Language {
  /** The file name of an example. */
  readonly file: string;
  /** A command that succeeds if the language is available. */
  readonly probe: readonly [string, ...string[]];
  /** What is missing if the command fails. */
  readonly needs: string;
  /** The Debian package after whose installation the command succeeds. */
  readonly debian?: string;
  /** The command line that runs the file at `path`. */
  readonly command: (path: string) => Promise<readonly [string, ...string[]]>;
}

export const LANGUAGES: Readonly<Record<string, Language>> = {
  sh: {
    file: "example.sh",
    probe: ["redis-cli", "--version"],
    needs: "redis-cli",
    command: (path) => Promise.resolve(["sh", "-e", path]),
  },
  ts: {
    file: "example.ts",
    probe: [Deno.execPath(), "--version"],
    needs: "Deno",
    command: (path) =>
      Promise.resolve([Deno.execPath(), "run", "--allow-all", "--check", `--config=${ROOT}/deno.json`, path]),
  },
  python: {
    file: "example.py",
    probe: ["python3", "--version"],
    needs: "python3",
    debian: "python3",
    command: runPython,
  },
  go: { file: "main.go", probe: ["go", "version"], needs: "go", debian: "golang-go", command: runGo },
  ruby: { file: "example.rb", probe: ["ruby", "--version"], needs: "ruby", debian: "ruby", command: runRuby },
  php: { file: "example.php", probe: ["php", "--version"], needs: "php", debian: "php-cli", command: runPhp },
  // A Java client is not downloaded: the example runs only if one is on the class path.
  java: {
    file: "Example.java",
    probe: ["javap", "-J-Dx", "-classpath", javaClasses(), "redis.clients.jedis.JedisPooled"],
    needs: "Jedis in CLASSPATH",
    command: (path) => Promise.resolve(["java", "-classpath", javaClasses(), path]),
  },
};

export async function isAvailable({ probe, debian }: Language): Promise<boolean> {
  if (await succeeds(...probe)) return true;
  if (debian === undefined || Deno.uid() !== 0) return false;
  try {
    await installServers([debian]);
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    return false; // another system, or no package list
  }
  return await succeeds(...probe);
}

async function runPython(path: string): Promise<readonly [string, ...string[]]> {
  const environment = `${cacheFolder()}/python`;
  const pythons = ["python3", "/usr/bin/python3", `${environment}/bin/python`];
  const withRedis = async () => {
    for (const python of pythons) if (await succeeds(python, "-c", "import redis")) return python;
    return undefined;
  };
  const pip = ["-m", "pip", "install", "--quiet", "--retries=1", "--timeout=10", "redis"];
  let python = await withRedis();
  if (python === undefined && await succeeds("python3", "-m", "venv", environment)) {
    if (await succeeds(`${environment}/bin/python`, ...pip)) python = await withRedis();
  }
  if (python === undefined) {
    await installed("python3-redis");
    python = await withRedis();
  }
  if (python === undefined) throw new Error("The Python example needs redis-py. Type: pip install redis");
  return [python, path];
}

async function runRuby(path: string): Promise<readonly [string, ...string[]]> {
  if (!await succeeds("ruby", "-rredis", "-e", "")) await installed("ruby-redis");
  return ["ruby", path];
}

async function runPhp(path: string): Promise<readonly [string, ...string[]]> {
  if (!await succeeds("php", "-r", "exit(class_exists('Redis') ? 0 : 1);")) await installed("php-redis");
  return ["php", path];
}

function javaClasses(): string {
  return Deno.env.get("CLASSPATH") ?? ".";
}

/** Uses Go modules if their proxy can be reached, otherwise the sources from Debian. */
async function runGo(path: string): Promise<readonly [string, ...string[]]> {
  const folder = resolve(path, "..");
  if (await succeeds("sh", "-c", 'cd "$0" && go mod init example && go mod tidy', folder)) {
    return ["sh", "-c", 'cd "$0" && go run .', folder];
  }
  const sources = "/usr/share/gocode";
  if (!existsSync(`${sources}/src/github.com/gomodule/redigo`)) await installed("golang-github-gomodule-redigo-dev");
  return ["env", "GO111MODULE=off", `GOPATH=${sources}`, "go", "run", path];
}

async function installed(name: string): Promise<void> {
  try {
    await installServers([name]);
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    throw new Error(`A library for an example is missing and could not be downloaded. Install ${name}`);
  }
}

function cacheFolder(): string {
  return `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/notification-service`;
}
