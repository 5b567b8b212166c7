/** The present files of docs/observability pass promtool and have no broken reference; what counts as a test of a rule. */
import assert from "node:assert/strict";
import { checkObservability, untestedAlerts } from "./check_observability.ts";

Deno.test("alert rules, their tests, dashboard and collector configuration are valid", async () => {
  assert.deepEqual(await checkObservability(), []);
});

Deno.test("an alert counts as tested only if a test sets it off", () => {
  const rules = `
groups:
  - rules:
      - alert: Tested
      - alert: NeverFires
      - alert: TestedPrefix
      - alert: Unnamed`;
  const tests = `
tests:
  - alert_rule_test:
      - { alertname: Tested, eval_time: 1m, exp_alerts: [] }
      - alertname: NeverFires
        eval_time: 1m
        exp_alerts: []
      - alertname: NeverFires
        eval_time: 2m
  - promql_expr_test: []
  - alert_rule_test:
      - alertname: Tested
        eval_time: 5m
        exp_alerts:
          - exp_labels: { severity: critical }`;
  assert.deepEqual(
    untestedAlerts(rules, tests),
    ["NeverFires", "TestedPrefix", "Unnamed"].map((alert) => `alerts_test.yaml: ${alert} has no test that sets it off`),
  );
});
