-- The parts of some messages, in order. $message_ids: their ids.
SELECT message_id, kind, text, tool_call_id, tool_name, details
FROM message_parts
WHERE message_id IN (SELECT unnest($message_ids::VARCHAR[]))
ORDER BY message_id, position
