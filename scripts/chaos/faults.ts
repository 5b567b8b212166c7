/** All faults, in the order in which `--list` shows them. */
import type { Fault } from "./fault.ts";
import { ACCESS_FAULTS } from "./faults/access.ts";
import { BOTH_STORES_FAULTS } from "./faults/both_stores.ts";
import { CLAIM_FAULTS } from "./faults/claims.ts";
import { HALF_OPEN_FAULTS } from "./faults/half_open.ts";
import { INSTANCE_FAULTS } from "./faults/instances.ts";
import { LATE_FAULTS } from "./faults/late.ts";
import { STREAM_FAULTS } from "./faults/streams.ts";
import { POSTGRES_FAULTS } from "./faults/postgres.ts";
import { POSTGRES_LOSS_FAULTS } from "./faults/postgres_losses.ts";
import { REDIS_FAULTS } from "./faults/redis.ts";
import { REDIS_LOSS_FAULTS } from "./faults/redis_losses.ts";
import { RETENTION_FAULTS } from "./faults/retention.ts";
import { USER_SERVICE_FAULTS } from "./faults/user_service.ts";

export const FAULTS: readonly Fault[] = [
  ...INSTANCE_FAULTS,
  ...LATE_FAULTS,
  ...CLAIM_FAULTS,
  ...REDIS_FAULTS,
  ...ACCESS_FAULTS,
  ...STREAM_FAULTS,
  ...POSTGRES_FAULTS,
  ...HALF_OPEN_FAULTS,
  ...USER_SERVICE_FAULTS,
  ...RETENTION_FAULTS,
  ...REDIS_LOSS_FAULTS,
  ...POSTGRES_LOSS_FAULTS,
  ...BOTH_STORES_FAULTS,
];

/** In `--only`, `--list` and the report: the name of two faults at the same time whose effects can be distinguished. */
export const PAIR_NAME = "mixed";
