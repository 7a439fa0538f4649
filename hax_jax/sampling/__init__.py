"""Questions to a model's answers.

In: prompts from flags and files (prompts.py), a model and its tokenizer. Out: `Sample`s
from generation.Generator, kept as JSON lines (answer_file.py), as a table
(answer_table.py) or as a conversation (chat.py). Start with generation.py: it fills
batches (prompt_batches.py) for the compiled loop (decode.py, next_token.py).
"""
