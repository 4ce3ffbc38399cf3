-- How a stream flowed. NULL for attempts before this version, and where nothing came.

ALTER TABLE attempts ADD COLUMN t_last_token TIMESTAMPTZ;    -- last text, reasoning or piece of a tool call
ALTER TABLE attempts ADD COLUMN inter_token_p50_s DOUBLE;    -- seconds between reads that brought output: median
ALTER TABLE attempts ADD COLUMN inter_token_p95_s DOUBLE;    -- the same: 95th percentile, each within 2.5 %
ALTER TABLE attempts ADD COLUMN wire_chunks BIGINT;          -- pieces in which the body was read
