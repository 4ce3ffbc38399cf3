"""A notebook-first workbench for language-model chats."""
