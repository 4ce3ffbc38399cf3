-- ai_models: the models of each gateway's latest listing, with prices and context; one that it no longer
-- lists is not here.
--
-- gateway           gateway that lists it
-- model             id to request it by
-- name              name for people
-- context_length    tokens: input and output together
-- max_output_tokens tokens: the longest answer
-- input_usd_per_mtok      USD per million input tokens; NULL when not listed
-- output_usd_per_mtok     USD per million output tokens; NULL when not listed
-- cache_read_usd_per_mtok USD per million input tokens read from cache; NULL when not listed
-- input_modalities  JSON array of text, image, audio, ...
-- output_modalities JSON array, likewise
-- supported_params  JSON array of parameter names
-- fetched_at        when this listing was fetched, UTC
CREATE OR REPLACE VIEW ai_models AS
WITH latest AS (
    SELECT gateway, max(fetched_at) AS fetched_at
    FROM models
    GROUP BY gateway
)
SELECT
    m.gateway,
    m.model,
    m.name,
    m.context_length,
    m.max_output_tokens,
    p.input_usd_per_mtok,
    p.output_usd_per_mtok,
    p.cache_read_usd_per_mtok,
    m.input_modalities,
    m.output_modalities,
    m.supported_params,
    m.fetched_at
FROM latest
JOIN models AS m USING (gateway, fetched_at)
LEFT JOIN prices AS p USING (gateway, model, fetched_at);
