-- Every session, the last one changed first.
--
-- session_id   id of the session
-- title        its title; NULL when it has none
-- state        active | paused | completed
-- tool_name    tool definition in use
-- model        model of the next turn
-- user_id      whose it is
-- group_id     of which group
-- n_messages   messages stored in it, all branches
-- n_calls      requests made in it
-- total_tokens tokens: input plus output of all its attempts that told; NULL when none did
-- cost_usd     USD: sum of the known costs; NULL when none is known
-- n_unknown    attempts whose cost is not known
-- created_at   when it was opened, UTC
-- updated_at   when it last changed, UTC
SELECT
    s.session_id,
    s.title,
    s.state,
    s.tool_name,
    s.model,
    s.user_id,
    s.group_id,
    coalesce(m.n_messages, 0) AS n_messages,
    coalesce(u.n_calls, 0) AS n_calls,
    u.total_tokens,
    u.cost_usd,
    coalesce(u.n_unknown, 0) AS n_unknown,
    s.created_at,
    s.updated_at
FROM sessions AS s
LEFT JOIN (SELECT session_id, count(*) AS n_messages FROM messages GROUP BY session_id) AS m USING (session_id)
LEFT JOIN usage_by_session AS u USING (session_id)
ORDER BY s.updated_at DESC, s.session_id DESC
