-- usage_by_session: tokens and cost per chat session; requests outside chats are not here.
--
-- session_id    id of the session
-- first_at      start of its first attempt, UTC
-- last_at       start of its last attempt, UTC
-- n_calls       logical requests, each counted where its first attempt is
-- n_attempts    HTTP attempts, retries included
-- input_tokens  tokens: all input of attempts that told; NULL when none did
-- output_tokens tokens: all output, likewise
-- total_tokens  tokens: input plus output, likewise
-- cost_usd      USD: sum of the known costs, reported and estimated; NULL when none is known
-- n_reported    attempts whose cost the gateway reported
-- n_estimated   attempts whose cost is a list price
-- n_unknown     attempts whose cost is not known; they are not in cost_usd
CREATE OR REPLACE VIEW usage_by_session AS
SELECT
    session_id,
    min(started_at) AS first_at,
    max(started_at) AS last_at,
    count(*) FILTER (WHERE attempt_no = 1) AS n_calls,
    count(*) AS n_attempts,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
    sum(cost_usd) AS cost_usd,
    count(*) FILTER (WHERE cost_basis = 'reported') AS n_reported,
    count(*) FILTER (WHERE cost_basis = 'estimated') AS n_estimated,
    count(*) FILTER (WHERE cost_basis = 'unknown') AS n_unknown
FROM ai_usage
WHERE session_id IS NOT NULL
GROUP BY session_id;
