/**
 * The table of variables → docs/configuration.md, and the commented environment file that is installed with the unit.
 *
 * `deno run --allow-read --allow-write scripts/configuration_reference.ts` writes both; a test keeps them current.
 */
import {
  administratorEmails,
  deprecatedVariables,
  fileForm,
  prefix,
  type Variable,
  variableList,
} from "../src/config/variables.ts";
import { administratorTypes, embeddedCatalog } from "../src/notification/catalog.ts";

export const REFERENCE = new URL("../docs/configuration.md", import.meta.url);
export const ENVIRONMENT_FILE = new URL("./systemd/environment", import.meta.url);

export function configurationReference(): string {
  const deprecated = Object.entries(deprecatedVariables).map(([name, reason]) => `- \`${prefix}${name}\`: ${reason}`);
  return `<!-- Made by scripts/configuration_reference.ts from src/config/variables.ts; a test keeps it current. -->

# Configuration

The service is configured by environment variables only. All problems are reported together, one line each, before
anything is opened, and the process ends with 78. A variable that is defined but empty counts as not set. For an unknown
\`${prefix}*\` name, a warning names the nearest known one. Durations are written as in Go: \`250ms\`, \`5s\`, \`1h30m\`.

\`notification-service check\` tests a configuration and changes nothing.

${variableList.map(([name, variable]) => section(name, variable)).join("\n\n")}

## ${prefix}${administratorEmails.name}

${administratorEmails.meaning}. There is one variable for each type, such as \`${prefix}${administratorEmails.stem}GAME_GENERATION_FAILED\`.

- Default: none; the mail's route is recorded as \`skipped\`
- Form: ${administratorEmails.expected}

## Refused

The service does not start if one of these is defined, even if it is empty:

${deprecated.join("\n")}

## OpenTelemetry

Telemetry is configured by the standard \`OTEL_*\` variables. Without an \`OTEL_EXPORTER_OTLP_*\` endpoint nothing is exported.
The variables that are read are listed in [observability](observability/README.md).

## Certificates

PostgreSQL's are parameters of \`${prefix}POSTGRES_PRIMARY_DSN\` (\`sslmode\`, \`sslrootcert\`, \`sslcert\`, \`sslkey\`), whose meanings are not all
libpq's. \`DENO_CERT\`, or \`DENO_TLS_CA_STORE=system\` with \`SSL_CERT_FILE\`, names authorities that the whole process trusts:
[TLS](deployment.md#tls).

## A proxy

The look-ups in the User Service honour \`HTTP_PROXY\`, \`HTTPS_PROXY\`, \`ALL_PROXY\` and \`NO_PROXY\` (lower case too): if they are
set for other programs, name the User Service's host in \`NO_PROXY\`. Redis, PostgreSQL and \`healthcheck\` are never reached
through a proxy.

## Variables of the supervisor

\`NOTIFY_SOCKET\`, \`WATCHDOG_USEC\`, \`WATCHDOG_PID\` and \`RUNTIME_DIRECTORY\` are read as systemd sets them; see
[deployment](deployment.md#systemd).
`;
}

function section(name: string, variable: Variable): string {
  const facts = [
    variable.required ? "Required" : `Default: ${variable.default === "" ? "none" : `\`${variable.default}\``}`,
    `Form: ${variable.form.expected}`,
  ];
  if (variable.secret) {
    facts.push(
      `Secret; \`${prefix}${
        fileForm(name)
      }\` may name a file that contains it instead; one trailing newline is removed. The file is read again ` +
        "whenever the server refuses the secret ([rotation](security.md#secrets))",
    );
  }
  return `## ${prefix}${name}\n\n${variable.meaning}.\n\n${facts.map((fact) => `- ${fact}`).join("\n")}`;
}

/** For systemd's EnvironmentFile. Secrets are omitted, because the unit gets them as credentials. */
export function environmentFile(): string {
  const entries = variableList.filter(([, variable]) => !variable.secret).map(([name, variable]) => {
    const value = variable.required ? "" : variable.default;
    return `# ${variable.meaning}.\n# ${
      variable.required ? "Required: " : ""
    }${variable.form.expected}\n#${prefix}${name}=${value}`;
  });
  return `# Configuration of the Notification Service, read by its unit: one NAME=value a line. Made by
# scripts/configuration_reference.ts; the values after a # are the defaults. Apply with
#   systemctl restart notification-service
# Redis's password and PostgreSQL's URL are in files of their own beside this one.

${entries.join("\n\n")}

# ${administratorEmails.meaning}.
# ${administratorEmails.expected}
${administratorVariables.map((name) => `#${name}=`).join("\n")}

# OpenTelemetry: without an endpoint nothing is exported. The variables that are read: docs/observability/README.md.
${openTelemetry.map((line) => `#${line}`).join("\n")}
`;
}

const administratorVariables = administratorTypes(embeddedCatalog())
  .map((type) => prefix + administratorEmails.stem + type.toUpperCase().replaceAll(".", "_"));
const openTelemetry = [
  "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318",
  "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
  "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20…",
  "OTEL_RESOURCE_ATTRIBUTES=service.instance.id=…",
  "OTEL_TRACES_SAMPLER=parentbased_always_on",
  "OTEL_LOGS_EXPORTER=otlp",
];

if (import.meta.main) {
  await Deno.writeTextFile(REFERENCE, configurationReference());
  await Deno.writeTextFile(ENVIRONMENT_FILE, environmentFile());
}
