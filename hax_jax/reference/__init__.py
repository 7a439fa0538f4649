"""What rates, logits and rows should be, worked out a second time.

In: a config, parameters, pairs. Out: the numbers that training must agree with. Nothing
here calls the code that it is compared with; numpy_gpt2.py is the model.
"""
