-- thread: the active path of every session, from its first message to its head.
--
-- session_id session whose path this is; a fork shows the messages it shares with its origin
-- seq        place in the path, from 1
-- message_id id of the message
-- parent_id  message before it; NULL for the first
-- role       system | user | assistant | tool
-- status     complete | partial | stopped | error
-- text       visible text
-- reasoning  what the model thought before it answered; NULL when there is none
-- call_id    call that produced it; NULL for messages not written by a model
-- created_at when it was stored, UTC
CREATE OR REPLACE VIEW thread AS
WITH RECURSIVE path AS (
    SELECT s.session_id, m.message_id, m.parent_id, m.seq, m.role, m.status, m.call_id, m.created_at
    FROM sessions AS s
    JOIN messages AS m ON m.message_id = s.head
    UNION ALL
    SELECT path.session_id, m.message_id, m.parent_id, m.seq, m.role, m.status, m.call_id, m.created_at
    FROM path
    -- seq falls at every step, so even rows that point in a circle come to an end
    JOIN messages AS m ON m.message_id = path.parent_id AND m.seq < path.seq
),
body AS (
    SELECT
        message_id,
        string_agg(text, '' ORDER BY position) FILTER (WHERE kind = 'text') AS text,
        string_agg(text, '' ORDER BY position) FILTER (WHERE kind = 'reasoning') AS reasoning
    FROM message_parts
    GROUP BY message_id
)
SELECT
    path.session_id,
    path.seq,
    path.message_id,
    path.parent_id,
    path.role,
    path.status,
    body.text,
    body.reasoning,
    path.call_id,
    path.created_at
FROM path
LEFT JOIN body USING (message_id);
