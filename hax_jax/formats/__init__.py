"""Other programs' files: folders and checkpoints in and out, by dotted parameter name.

Models come in as `dotted path -> float32 array`, every tensor accounted for
(accounting.py), and go out as folders that transformers or peft load. Each format
has one module, which reads it and, for most, writes it too: hf_folder, peft_adapter,
old_checkpoint (.pt, read only). Start reading at hf_folder.py.
"""
