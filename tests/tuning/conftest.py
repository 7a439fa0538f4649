from shared_steps import shared  # noqa: F401 (a fixture)
