"""How every program starts, reads its flags, shows how far it is, and fails.

In: a program's `main`, its flags and its config. Out: one `error:` and exit code 2 for
everything that the user got wrong, never a traceback. Start at entry.py, then
config_flag.py, which is `--config` and its overrides.
"""
