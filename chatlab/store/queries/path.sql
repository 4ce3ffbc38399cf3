-- The active path of one session, first message first, with the model that served each answer.
-- $session_id: the session. A fork shares the messages before its fork with the session it came from.
WITH RECURSIVE lineage AS (
    SELECT session_id, forked_from_session FROM sessions WHERE session_id = $session_id
    UNION
    SELECT s.session_id, s.forked_from_session
    FROM lineage
    JOIN sessions AS s ON s.session_id = lineage.forked_from_session
),
candidates AS MATERIALIZED (
    SELECT * FROM messages WHERE session_id IN (SELECT session_id FROM lineage)
),
head AS (
    -- A session that was never told its head ends with what was said last.
    SELECT coalesce(
        (SELECT head FROM sessions WHERE session_id = $session_id),
        (SELECT max(message_id) FROM candidates WHERE session_id = $session_id)
    ) AS message_id
),
path AS (
    SELECT c.* FROM candidates AS c JOIN head USING (message_id)
    UNION ALL
    SELECT c.*
    FROM path
    JOIN candidates AS c ON c.message_id = path.parent_id AND c.seq < path.seq
),
served AS (
    SELECT call_id, arg_max(coalesce(a.served_model, c.model), a.attempt_no) AS model
    FROM calls AS c
    JOIN attempts AS a USING (call_id)
    WHERE call_id IN (SELECT call_id FROM path)
    GROUP BY call_id
)
SELECT
    path.message_id,
    path.parent_id,
    path.seq,
    path.role,
    path.status,
    path.created_at,
    path.call_id,
    CASE WHEN path.role = 'assistant' THEN served.model END AS model
FROM path
LEFT JOIN served USING (call_id)
ORDER BY path.seq
