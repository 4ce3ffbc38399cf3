-- The messages of one session's active path as a table. $session_id: the session; $message_ids: its path.
--
-- seq           place in the path, from 1
-- role          system | user | assistant | tool
-- text          visible text
-- reasoning     what the model thought before it answered; NULL when there is none
-- status        complete | partial | stopped | error
-- model         model that served it; NULL for messages not written by a model
-- input_tokens  tokens: input of its call, retries included; NULL when not told
-- output_tokens tokens: output, likewise
-- cost_usd      USD: known cost of its call, retries included; NULL when none is known
-- cost_basis    reported | estimated | unknown, of the call's last attempt
-- created_at    when it was stored, UTC
-- message_id    id of the message
-- parent_id     message before it; NULL for the first
-- call_id       call that produced it; NULL for messages not written by a model
WITH chosen AS MATERIALIZED (
    SELECT * FROM messages WHERE message_id IN (SELECT unnest($message_ids::VARCHAR[]))
),
body AS (
    SELECT
        message_id,
        string_agg(text, '' ORDER BY position) FILTER (WHERE kind = 'text') AS text,
        string_agg(text, '' ORDER BY position) FILTER (WHERE kind = 'reasoning') AS reasoning
    FROM message_parts
    WHERE message_id IN (SELECT message_id FROM chosen)
    GROUP BY message_id
),
spent AS (
    SELECT
        call_id,
        arg_max(coalesce(served_model, model), attempt_no) AS model,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        sum(cost_usd) AS cost_usd,
        arg_max(cost_basis, attempt_no) AS cost_basis
    FROM ai_usage
    WHERE call_id IN (SELECT call_id FROM chosen WHERE role = 'assistant')
    GROUP BY call_id
)
SELECT
    chosen.seq,
    chosen.role,
    body.text,
    body.reasoning,
    chosen.status,
    spent.model,
    spent.input_tokens,
    spent.output_tokens,
    spent.cost_usd,
    spent.cost_basis,
    chosen.created_at,
    chosen.message_id,
    chosen.parent_id,
    chosen.call_id
FROM chosen
LEFT JOIN body USING (message_id)
LEFT JOIN spent ON spent.call_id = chosen.call_id AND chosen.role = 'assistant'
ORDER BY chosen.seq
