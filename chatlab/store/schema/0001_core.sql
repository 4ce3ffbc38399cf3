-- The core tables. No keys, unique constraints, sequences or indexes, so that the same files run on a
-- DuckLake: every id is minted once, before it is used, and inserts are idempotent by id inside the lease.
-- Times are UTC. Money is USD. NULL is "not known", never zero. Text that is JSON is kept as text.

CREATE TABLE sessions (
    session_id          VARCHAR,        -- UUIDv7, so ids sort by time of creation
    title               VARCHAR,
    state               VARCHAR,        -- active | paused | completed
    tool_name           VARCHAR,
    tool_version        VARCHAR,
    system              VARCHAR,        -- the system prompt as rendered for this session
    model               VARCHAR,        -- default for the next turn
    params              VARCHAR,        -- JSON object: default parameters for the next turn
    user_id             VARCHAR,
    group_id            VARCHAR,
    forked_from_session VARCHAR,
    forked_from_message VARCHAR,
    head                VARCHAR,        -- message_id: the last message of the active path
    created_at          TIMESTAMPTZ,
    updated_at          TIMESTAMPTZ
);

CREATE TABLE messages (
    message_id VARCHAR,
    session_id VARCHAR,
    parent_id  VARCHAR,                 -- message_id of the message before it; NULL for the first
    seq        BIGINT,                  -- depth in the tree, from 1
    role       VARCHAR,                 -- system | user | assistant | tool
    status     VARCHAR,                 -- complete | partial | stopped | error
    call_id    VARCHAR,                 -- the call that produced it
    created_at TIMESTAMPTZ
);

-- Bodies, apart from the narrow table above.
CREATE TABLE message_parts (
    message_id VARCHAR,
    position   BIGINT,                  -- order within the message, from 0
    kind       VARCHAR,                 -- text | reasoning | tool_call
    text       VARCHAR,                 -- the text; for a tool call its arguments as the model wrote them
    tool_call_id VARCHAR,
    tool_name  VARCHAR,                 -- the function called
    details    VARCHAR                  -- JSON array: the gateway's own reasoning_details
);

CREATE TABLE calls (
    call_id            VARCHAR,
    purpose            VARCHAR,         -- chat | compare | eval | judge | proxy
    session_id         VARCHAR,
    gateway            VARCHAR,         -- openrouter, simulator, or the host of another gateway
    model              VARCHAR,         -- as requested
    params             VARCHAR,         -- JSON object: as requested
    request_sha256     VARCHAR,
    tool_name          VARCHAR,
    tool_version       VARCHAR,
    user_id            VARCHAR,
    group_id           VARCHAR,
    context_included   BIGINT,          -- messages sent, system included
    context_left_out   BIGINT,          -- older messages that did not fit
    context_tokens     BIGINT,          -- estimate of the input tokens
    context_limit_messages BIGINT,
    context_limit_tokens   BIGINT,
    created_at         TIMESTAMPTZ
);

-- One HTTP attempt, written before it is sent.
CREATE TABLE attempts (
    attempt_id           VARCHAR,
    call_id              VARCHAR,
    attempt_no           BIGINT,        -- from 1
    process_id           VARCHAR,       -- the writer's file in <store>.processes
    pid                  BIGINT,
    host                 VARCHAR,
    outcome              VARCHAR,       -- in_flight | completed | truncated | stopped | error_before | error_during | abandoned
    served_model         VARCHAR,
    provider             VARCHAR,
    quantization         VARCHAR,
    service_tier         VARCHAR,
    generation_id        VARCHAR,
    t_start              TIMESTAMPTZ,
    t_headers            TIMESTAMPTZ,
    t_first_token        TIMESTAMPTZ,   -- first visible or reasoning text
    t_end                TIMESTAMPTZ,   -- for an abandoned attempt: when that was found out
    finish_reason        VARCHAR,
    native_finish_reason VARCHAR,
    http_status          BIGINT,
    error_code           VARCHAR,
    error_message        VARCHAR,
    wire_bytes           BIGINT,
    wire_events          BIGINT,        -- SSE events that carried JSON
    wire_comments        BIGINT,        -- keep-alive lines
    wire_malformed       BIGINT         -- events or lines that could not be read
);

-- One row per attempt and source. The buckets are disjoint; tokens.
CREATE TABLE usage_reports (
    attempt_id        VARCHAR,
    source            VARCHAR,          -- response | generation_api | estimate
    received_at       TIMESTAMPTZ,
    input_tokens      BIGINT,           -- all input: fresh + cache_read + cache_write + audio
    output_tokens     BIGINT,           -- all output: visible + reasoning + audio + image
    input_fresh       BIGINT,
    cache_read        BIGINT,
    cache_write       BIGINT,
    input_audio       BIGINT,
    output_visible    BIGINT,
    reasoning         BIGINT,
    output_audio      BIGINT,
    output_image      BIGINT,
    consistent        BOOLEAN,          -- false: the details exceed the totals
    reported_cost_usd DECIMAL(18, 12),  -- what the gateway charged
    upstream_cost_usd DECIMAL(18, 12),  -- the provider's price; owed on top only when is_byok
    is_byok           BOOLEAN,          -- the provider's key was the user's own
    raw               VARCHAR           -- the source's own JSON
);

-- List prices computed from a price book. One row per attempt and price source.
CREATE TABLE cost_estimates (
    attempt_id   VARCHAR,
    price_source VARCHAR,               -- name and version of the price book
    computed_at  TIMESTAMPTZ,
    usd          DECIMAL(18, 12)
);

-- Models as a gateway listed them: a dated snapshot per listing.
CREATE TABLE models (
    gateway           VARCHAR,
    model             VARCHAR,
    fetched_at        TIMESTAMPTZ,
    name              VARCHAR,
    context_length    BIGINT,           -- tokens
    max_output_tokens BIGINT,
    input_modalities  VARCHAR,          -- JSON array
    output_modalities VARCHAR,          -- JSON array
    supported_params  VARCHAR,          -- JSON array
    raw               VARCHAR           -- JSON object: the listing itself
);

-- List prices of those same snapshots, USD per million tokens.
CREATE TABLE prices (
    gateway                VARCHAR,
    model                  VARCHAR,
    fetched_at             TIMESTAMPTZ,
    input_usd_per_mtok     DECIMAL(18, 9),
    output_usd_per_mtok    DECIMAL(18, 9),
    cache_read_usd_per_mtok DECIMAL(18, 9)
);

-- The views as they were last created, to renew only what changed.
CREATE TABLE schema_views (
    name   VARCHAR,
    sha256 VARCHAR
);
