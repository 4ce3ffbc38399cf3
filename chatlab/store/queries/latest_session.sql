-- The session that changed last.
SELECT * FROM sessions ORDER BY updated_at DESC, session_id DESC LIMIT 1
