-- Sessions by id or the beginning of one. $session_id: either of the two.
SELECT * FROM sessions
WHERE session_id = $session_id OR (length($session_id) >= 4 AND starts_with(session_id, $session_id))
ORDER BY session_id = $session_id DESC, session_id
LIMIT 6
