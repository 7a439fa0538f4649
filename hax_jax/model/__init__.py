"""GPT-2 in Flax NNX: token ids to hidden states, loss, adapters, parameters by name.

In: a `schema.ModelConfig`, arrays by dotted name. Out: the model, its loss per token,
its abstract shapes and shardings. No step, no data, no files.
Start reading at gpt2.py, then loss.py, attention.py and lora.py.
"""
