/**
 * Values in, a line for every pair or group of them that contradict each other out.
 * Each rule names all the variables it is about in full; it is left out while one of them has no valid value, because
 * that one has its own line already.
 */
import { CLAIM_MS } from "../notification/route.ts";
import { prefix, type Values, type VariableName } from "./variables.ts";

export function brokenRules(values: Partial<Values>): readonly string[] {
  return rules.map((rule) => rule(values)).filter((problem) => problem !== undefined);
}

type Rule = (values: Partial<Values>) => string | undefined;

const rules: readonly Rule[] = [
  rule(["ROUTE_BACKOFF_MIN", "ROUTE_BACKOFF_MAX"], {
    holds: (value) => value.ROUTE_BACKOFF_MIN <= value.ROUTE_BACKOFF_MAX,
    problem: ([minimum, maximum]) => `${minimum} should not be longer than ${maximum}`,
  }),
  // A claim and the hand-off of its first batch end within the claim's life. What comes too late all the same is tried
  // again.
  rule(["POSTGRES_OPERATION_TIMEOUT", "REDIS_OPERATION_TIMEOUT"], {
    holds: (value) => value.POSTGRES_OPERATION_TIMEOUT + 2 * value.REDIS_OPERATION_TIMEOUT < CLAIM_MS,
    problem: ([postgres, redis]) => `${postgres} plus twice ${redis} should be less than 10s (the life of a claim)`,
  }),
  differ("INTENTS_STREAM", "GATEWAY_CLIENT_EVENTS_STREAM"),
  differ("INTENTS_STREAM", "MAIL_DELIVERY_COMMANDS_STREAM"),
  differ("GATEWAY_CLIENT_EVENTS_STREAM", "MAIL_DELIVERY_COMMANDS_STREAM"),
];

function rule<N extends VariableName>(
  names: readonly N[],
  { holds, problem }: {
    readonly holds: (values: Pick<Values, N>) => boolean;
    readonly problem: (fullNames: readonly string[]) => string;
  },
): Rule {
  return (values) => {
    if (!hasAll(values, names) || holds(values)) return undefined;
    return problem(names.map((name) => prefix + name));
  };
}

function hasAll<N extends VariableName>(values: Partial<Values>, names: readonly N[]): values is Pick<Values, N> {
  return names.every((name) => values[name] !== undefined);
}

function differ(one: VariableName, other: VariableName): Rule {
  return rule([one, other], {
    holds: (value) => value[one] !== value[other],
    problem: (fullNames) => `${fullNames.join(" and ")} should be two different streams`,
  });
}
