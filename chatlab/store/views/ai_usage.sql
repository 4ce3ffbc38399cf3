-- ai_usage: one row per HTTP attempt: who asked what of which model, how it ended, tokens, cost, latency.
--
-- attempt_id        id of the attempt
-- call_id           id of the logical request; retries share it
-- session_id        id of the chat session; NULL outside chats
-- attempt_no        1 for the first attempt of a call, more for its retries; counting its rows counts calls
-- started_at        when the attempt started, UTC
-- day               its day in UTC
-- user_id           who asked
-- group_id          for which group
-- tool_name         tool definition in use
-- tool_version      its version
-- purpose           chat | compare | eval | judge | proxy
-- gateway           openrouter, simulator, or the host of another gateway
-- model             model as requested
-- served_model      model that answered, as the gateway named it
-- provider          provider that ran it
-- service_tier      service tier it was served at
-- generation_id     the gateway's handle for billing
-- outcome           in_flight | completed | truncated | stopped | error_before | error_during | abandoned
-- finish_reason     why the model ended, normalised by the gateway
-- http_status       HTTP status of the response
-- error_code        the gateway's word for the error
-- usage_source      where the tokens come from, the best that named any: generation_api | response | estimate
-- input_tokens      tokens: all input, cached included
-- output_tokens     tokens: all output, reasoning included
-- total_tokens      tokens: input_tokens + output_tokens
-- input_fresh       tokens: input neither cached nor audio
-- cache_read        tokens: input read from the provider's cache
-- cache_write       tokens: input written to the provider's cache
-- input_audio       tokens: audio input
-- output_visible    tokens: output neither reasoning nor audio nor image
-- reasoning         tokens: reasoning
-- output_audio      tokens: audio output
-- output_image      tokens: image output
-- cost_usd          USD: what the attempt cost by cost_basis; NULL when unknown
-- cost_basis        reported (the gateway said it) | estimated (list price) | unknown
-- reported_cost_usd USD: what the gateway charged
-- upstream_cost_usd USD: the provider's own price; part of cost_usd only when is_byok
-- is_byok           whether the provider's key was the user's own
-- estimated_cost_usd USD: the latest list price computed for these tokens, whatever the basis
-- headers_s         seconds from start to response headers
-- first_token_s     seconds from start to the first visible or reasoning text
-- last_token_s      seconds from start to the last text, reasoning or piece of a tool call
-- inter_token_p50_s seconds between two reads that brought output: the median, within 2.5 %
-- inter_token_p95_s the same: the 95th percentile
-- total_s           seconds from start to end
-- tokens_per_second output tokens per second after the first token
-- wire_bytes        bytes of the body
-- wire_chunks       pieces in which it was read
-- wire_events       events of the stream that carried JSON
-- wire_comments     keep-alive lines
-- wire_malformed    events or lines that could not be read
CREATE OR REPLACE VIEW ai_usage AS
WITH list_price AS (
    SELECT attempt_id, arg_max(usd, computed_at) AS usd
    FROM cost_estimates
    GROUP BY attempt_id
),
-- The generation API tells the bill, the response announces it, an estimate is the last resort.
told AS (
    SELECT
        a.*,
        CASE
            WHEN coalesce(bill.input_tokens, bill.output_tokens) IS NOT NULL THEN 'generation_api'
            WHEN coalesce(answer.input_tokens, answer.output_tokens) IS NOT NULL THEN 'response'
            WHEN coalesce(guess.input_tokens, guess.output_tokens) IS NOT NULL THEN 'estimate'
        END AS usage_source,
        CASE usage_source
            WHEN 'generation_api' THEN bill.input_tokens WHEN 'response' THEN answer.input_tokens ELSE guess.input_tokens
        END AS input_tokens,
        CASE usage_source
            WHEN 'generation_api' THEN bill.output_tokens WHEN 'response' THEN answer.output_tokens ELSE guess.output_tokens
        END AS output_tokens,
        CASE usage_source
            WHEN 'generation_api' THEN bill.input_fresh WHEN 'response' THEN answer.input_fresh ELSE guess.input_fresh
        END AS input_fresh,
        CASE usage_source
            WHEN 'generation_api' THEN bill.cache_read WHEN 'response' THEN answer.cache_read ELSE guess.cache_read
        END AS cache_read,
        CASE usage_source
            WHEN 'generation_api' THEN bill.cache_write WHEN 'response' THEN answer.cache_write ELSE guess.cache_write
        END AS cache_write,
        CASE usage_source
            WHEN 'generation_api' THEN bill.input_audio WHEN 'response' THEN answer.input_audio ELSE guess.input_audio
        END AS input_audio,
        CASE usage_source
            WHEN 'generation_api' THEN bill.output_visible WHEN 'response' THEN answer.output_visible ELSE guess.output_visible
        END AS output_visible,
        CASE usage_source
            WHEN 'generation_api' THEN bill.reasoning WHEN 'response' THEN answer.reasoning ELSE guess.reasoning
        END AS reasoning,
        CASE usage_source
            WHEN 'generation_api' THEN bill.output_audio WHEN 'response' THEN answer.output_audio ELSE guess.output_audio
        END AS output_audio,
        CASE usage_source
            WHEN 'generation_api' THEN bill.output_image WHEN 'response' THEN answer.output_image ELSE guess.output_image
        END AS output_image,
        -- The three facts of a charge come from one report, never mixed.
        bill.reported_cost_usd IS NOT NULL AS billed,
        CASE WHEN billed THEN bill.reported_cost_usd ELSE answer.reported_cost_usd END AS reported_cost_usd,
        CASE WHEN billed THEN bill.upstream_cost_usd ELSE answer.upstream_cost_usd END AS upstream_cost_usd,
        CASE WHEN billed THEN bill.is_byok ELSE answer.is_byok END AS is_byok,
        list_price.usd AS estimated_cost_usd
    FROM attempts AS a
    LEFT JOIN usage_reports AS answer ON answer.attempt_id = a.attempt_id AND answer.source = 'response'
    LEFT JOIN usage_reports AS bill ON bill.attempt_id = a.attempt_id AND bill.source = 'generation_api'
    LEFT JOIN usage_reports AS guess ON guess.attempt_id = a.attempt_id AND guess.source = 'estimate'
    LEFT JOIN list_price ON list_price.attempt_id = a.attempt_id
),
priced AS (
    SELECT
        told.*,
        -- With the user's own key the gateway charges a fee and the provider bills the rest. Otherwise both
        -- numbers are the same money and are never added. A sum beyond the column is unknown, not an error: one
        -- absurd report must not make every other row unreadable.
        CASE
            WHEN is_byok IS TRUE THEN TRY_CAST(reported_cost_usd + upstream_cost_usd AS DECIMAL(18, 12))
            ELSE reported_cost_usd
        END AS charged,
        -- Nothing says that a request that failed or has not ended was billed: no list price for it.
        CASE WHEN outcome NOT IN ('in_flight', 'error_before') THEN estimated_cost_usd END AS owed
    FROM told
)
SELECT
    p.attempt_id,
    p.call_id,
    c.session_id,
    p.attempt_no,
    p.t_start AS started_at,
    CAST(p.t_start AT TIME ZONE 'UTC' AS DATE) AS day,
    c.user_id,
    c.group_id,
    c.tool_name,
    c.tool_version,
    c.purpose,
    c.gateway,
    c.model,
    p.served_model,
    p.provider,
    p.service_tier,
    p.generation_id,
    p.outcome,
    p.finish_reason,
    p.http_status,
    p.error_code,
    p.usage_source,
    p.input_tokens,
    p.output_tokens,
    p.input_tokens + p.output_tokens AS total_tokens,
    p.input_fresh,
    p.cache_read,
    p.cache_write,
    p.input_audio,
    p.output_visible,
    p.reasoning,
    p.output_audio,
    p.output_image,
    coalesce(p.charged, p.owed) AS cost_usd,
    CASE WHEN p.charged IS NOT NULL THEN 'reported' WHEN p.owed IS NOT NULL THEN 'estimated' ELSE 'unknown' END
        AS cost_basis,
    p.reported_cost_usd,
    p.upstream_cost_usd,
    p.is_byok,
    p.estimated_cost_usd,
    epoch_us(p.t_headers - p.t_start) * 1e-6 AS headers_s,
    epoch_us(p.t_first_token - p.t_start) * 1e-6 AS first_token_s,
    epoch_us(p.t_last_token - p.t_start) * 1e-6 AS last_token_s,
    p.inter_token_p50_s,
    p.inter_token_p95_s,
    epoch_us(p.t_end - p.t_start) * 1e-6 AS total_s,
    CASE WHEN p.t_end > p.t_first_token AND p.output_tokens > 0
        THEN p.output_tokens / (epoch_us(p.t_end - p.t_first_token) * 1e-6)
    END AS tokens_per_second,
    p.wire_bytes,
    p.wire_chunks,
    p.wire_events,
    p.wire_comments,
    p.wire_malformed
FROM priced AS p
LEFT JOIN calls AS c ON c.call_id = p.call_id;
