/**
 * The values of the variables → one line for each group of values that contradict each other. Pure.
 *
 * Each line contains the full names of all variables of its rule. A rule is skipped if one of its variables has no
 * valid value, because that variable already has a line of its own.
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
  // A claim and the hand-off of its first batch must end within the claim's life. Routes whose hand-off is later than
  // that are tried again.
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
