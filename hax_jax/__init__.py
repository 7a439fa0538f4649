"""hax_jax: fine-tunes GPT-2 into an advice columnist, in JAX and Flax."""
