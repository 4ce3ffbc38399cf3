-- The models of each gateway's latest listing; the columns are those of the view ai_models.
SELECT * FROM ai_models ORDER BY gateway, model
