-- What operators look up by a key or a time. Both tables get a row only where an intent is malformed or a route is given up, so that
-- neither acceptance nor publishing pays for it.

-- +goose Up
CREATE INDEX malformed_intents_key_idx ON notification.malformed_intents (producer, idempotency_key);
CREATE INDEX dead_letters_created_at_idx ON notification.dead_letters (created_at);

-- +goose Down
DROP INDEX notification.dead_letters_created_at_idx;
DROP INDEX notification.malformed_intents_key_idx;
