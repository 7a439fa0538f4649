"""A run's folder on disk: its identity, its checkpoints, its parameters, its export.

In: a workdir, or a model made elsewhere (`import_model.py`). Out: parameters, adapters
and whole models (`restore.py`), folders for transformers and peft (`export.py`).
checkpoint.py alone knows Orbax; saved_steps.py says which steps there are.
Start reading at run_folder.py.
"""
