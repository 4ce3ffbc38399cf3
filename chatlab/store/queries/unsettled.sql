-- Attempts that ended without a bill one can trust, and can still be asked for. $gateway: where they were sent;
-- $since: the earliest start.
--
-- attempt_id    id of the attempt
-- generation_id the gateway's handle for its bill
-- ended_at      when it ended, UTC
SELECT a.attempt_id, a.generation_id, a.t_end AS ended_at
FROM attempts AS a
INNER JOIN calls AS c ON c.call_id = a.call_id
LEFT JOIN usage_reports AS answer ON answer.attempt_id = a.attempt_id AND answer.source = 'response'
WHERE a.t_start >= $since
    AND c.gateway = $gateway
    AND a.generation_id IS NOT NULL
    AND a.t_end IS NOT NULL
    AND a.outcome <> 'in_flight'
    -- What was refused was never generated.
    AND coalesce(a.http_status, 200) < 400
    AND (
        -- What an answer that broke off said of its usage is what it said so far.
        a.outcome IN ('truncated', 'stopped', 'error_during', 'abandoned')
        OR answer.reported_cost_usd IS NULL
        OR (answer.is_byok AND answer.upstream_cost_usd IS NULL)
    )
    -- A bill without a cost says that the gateway was asked to the end and did not know.
    AND a.attempt_id NOT IN (SELECT attempt_id FROM usage_reports WHERE source = 'generation_api')
ORDER BY a.t_end DESC
