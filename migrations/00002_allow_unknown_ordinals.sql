-- An offset that was found without its ordinal (in a copy that has none) keeps that unknown until the end of the stream is
-- reached, where it is known again. A 0 would report entries as trimmed unread that were read.

-- +goose Up
ALTER TABLE notification.stream_offsets ALTER COLUMN entries_read DROP NOT NULL;

-- +goose Down
UPDATE notification.stream_offsets SET entries_read = 0 WHERE entries_read IS NULL;
ALTER TABLE notification.stream_offsets ALTER COLUMN entries_read SET NOT NULL;
