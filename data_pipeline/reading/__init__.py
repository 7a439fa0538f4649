"""Files and datasets of every layout to pairs, and an account of every line."""
