-- What a store lost is found by comparing it with the other one, and repaired from there (`docs/contract.md`, section 11).
--
-- `stream_offsets` has a row for each outbound stream too, whose `entries_read` counts the commits that wrote outcomes; an earlier
-- version takes no notice of these rows. `redis_epoch` names the Redis server that the row was last compared
-- with: what was appended to another server is not written as published any more.

-- +goose Up
ALTER TABLE notification.stream_offsets ADD COLUMN redis_epoch text;

-- One row for each loss, kept as audit history.
CREATE TABLE notification.repairs (
    detected_at          timestamptz NOT NULL,
    finished_at          timestamptz,
    -- Routes whose published entries are among the lost ones.
    routes               bigint      NOT NULL DEFAULT 0,
    stream               text        NOT NULL COLLATE "C",
    lost_after           text        NOT NULL,
    lost_up_to           text        NOT NULL,
    -- How far the routes were looked through, from the newest record to the oldest.
    next_notification_id uuid        NOT NULL DEFAULT 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    next_route_id        text        NOT NULL DEFAULT '' COLLATE "C",
    CONSTRAINT repairs_pkey PRIMARY KEY (stream, detected_at)
);

-- +goose Down
DROP TABLE notification.repairs;
ALTER TABLE notification.stream_offsets DROP COLUMN redis_epoch;
