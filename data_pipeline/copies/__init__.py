"""Files of any kind as plain lines: a temporary copy, a row a line.

In: the path of a file that is packed, binary, a JSON document, YAML, TOML or XML, or
whose rows are one message each. Out: a `plain_copies.Copy`; None for a plain file.

Start at `plain_copies`. `json_survey` says how the rows lie in a JSON document, and
`json_documents` reads them in bounded memory; `tables` reads Parquet, Arrow and Excel;
`message_tables`, `message_trees` and `post_dumps` join messages to chats, trees and
threads.
"""
